"""Exposure bias of trained students: how far each is from its teacher, on whose prefixes, and how that adds up.

With o the teacher, p a student, and d^t the prefixes of t - 1 tokens that the expert (d_o) or the student's decoder F (d_p,F)
generates, Arora et al. 2022 ("Why Exposure Bias Matters") define the error a step, the regret, and how much accumulates::

    ε_t     = E[KL(o ‖ p)] over d_o^t             ε_≤l = (ε_1 + … + ε_l) / l
    R_≤l    = Σ_{t ≤ l} E[KL(o ‖ p)] over d_p,F^t
    AccErr_≤(l) = R_≤l / ε_≤l                     %ExAccErr_≤(l) = 100 (R_≤l - l ε_≤l) / (l ε_≤l)

Without accumulation AccErr_≤(l) = l and %ExAccErr_≤(l) = 0.  d_o comes from the references, as in the paper, and from the
teacher's own outputs.  Texts end at different lengths: d^t, and so every mean by position, is over those that reach step t.
%ExAccErr can be below 0: a greedy F keeps to likely prefixes, on which a student may be closer to its teacher than on d_o.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.evaluation.tally import LEAST, Tally, band, weigh
from agents.generation.decoding import greedy
from agents.generation.rollout import eval_mode, rollout
from agents.precision import precision
from textgen_env.data.batching import sequential_batches
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.randomness import uniform
from textgen_env.tasks.task import Task
from textgen_env.types import UNK, Batch, Oracle, Policy

EXPERTS = ("reference", "teacher")
ROLL_INS = (*EXPERTS, "student")
STARTS = ("clean", "corrupted")
GRAM = 4  # tokens that have to recur to count as repetition
TOKENS = 2048  # positions scored side by side: [TOKENS, V] is what has to fit


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Args:
        top_k: How a student samples, as in ``rollout``; 1: greedy.
        corrupt_at: Tokens of the reference before the corrupted ones.
        corrupt: How many random tokens replace the reference's; from there the student decodes greedily.
        resamples: Of the bootstrap; all students are resampled by the same sentences.
        seed: Of samples, corruption and bootstrap.
        precision: "float32" or "bf16".
        device: Torch device.
    """

    top_k: int
    corrupt_at: int
    corrupt: int
    resamples: int
    seed: int
    precision: str
    device: str

    @property
    def start(self) -> int:
        """Length of the prefix, corrupted or not, that recovery starts from."""
        return self.corrupt_at + self.corrupt


def measure(
    students: Mapping[str, Policy], oracle: Oracle, task: Task, split: Split, settings: Settings
) -> dict[str, Any]:
    """``{name: report}`` of ``students`` that share a teacher, on the sentences of ``split``, in one pass.

    Raises:
        UserError: There are too few sentences, or too few references go on after the corrupted tokens.
    """
    _check(task, split, settings)
    tallies = {
        name: {who: Tally(task.horizon, settings.resamples) for who in (*ROLL_INS, *STARTS)}
        for name in students
    }
    for batch in sequential_batches(split, TOKENS, task.limit):
        rngs = [
            np.random.default_rng((settings.seed, row)) for row in batch.index.tolist()
        ]  # one a sentence
        weights = weigh(rngs, settings.resamples)  # [B, 1 + R]
        noise = uniform(
            (settings.seed,), "sample", batch.index, int(batch.limit.max())
        )  # the same for all students
        batch = batch.to(settings.device)
        starts = {"clean": batch.target[:, : settings.start]}  # [B, start]
        starts["corrupted"] = corrupted(
            starts["clean"], batch.length, settings.corrupt_at, len(task.vocabulary), rngs
        )
        with precision(settings.precision, settings.device):
            demonstration = oracle.demonstrate(batch.source, batch.limit)
            for name, student in students.items():
                sampled = rollout(student, batch.source, batch.limit, noise, settings.top_k)
                outputs = {"teacher": demonstration, "student": sampled}
                with eval_mode(student):
                    for who, start in starts.items():
                        outputs[who] = greedy(
                            student, batch.source, batch.limit, start, scored=False
                        )
                    for who, tally in tallies[name].items():
                        own = outputs.get(who)
                        rows = (
                            batch
                            if own is None
                            else replace(batch, target=own.action, length=own.length)
                        )
                        skip = settings.start if who in starts else 0
                        values = {
                            key: value[:, skip:]
                            for key, value in compare(student, oracle, rows).items()
                        }
                        tally.add(weights, values, rows.mask[:, skip:])
    return {name: report(tally) for name, tally in tallies.items()}


def _check(task: Task, split: Split, settings: Settings) -> None:
    if len(split) < LEAST:
        raise UserError(
            f"{len(split)} sentences: at least {LEAST} are needed for a mean by position"
        )
    lengths = [
        min(len(target), task.limit(len(source)))
        for source, target in zip(split.source, split.target, strict=True)
    ]
    longer = sum(length > settings.start for length in lengths)
    if settings.corrupt_at < 0 or settings.corrupt < 1 or longer < LEAST:
        raise UserError(
            f"corrupt_at={settings.corrupt_at} corrupt={settings.corrupt}: "
            f"fewer than {LEAST} references go on after that; choose less"
        )


def compare(student: Policy, oracle: Oracle, batch: Batch) -> dict[str, Tensor]:
    """Metrics of the student against the teacher at every prefix of ``batch``, ``[B, T]`` each, 0 after a row's end.

    Returns:
        disagreement: 1 where their most likely tokens differ.  regret: KL(o ‖ p) in nats.  loss: teacher's log-probability
        lost by the student's choice, in nats.  repetition: 1 where the last ``GRAM`` tokens occurred in the row before; its
        mean is seq-rep-4 of Welleck et al. 2020.
    """
    mask = batch.mask
    own = student(batch.source, batch.prefix, mask).log_softmax(-1, dtype=torch.float32)  # [N, V]
    expert = oracle.log_probs(batch.source, batch.prefix, mask)  # [N, V]
    best, action = expert.max(-1)
    choice = own.argmax(-1)
    metrics = {
        "disagreement": (choice != action).float(),
        "regret": (expert.exp() * (expert - own)).sum(-1),
        "loss": best - expert.gather(1, choice[:, None]).squeeze(1),
    }
    zeros = torch.zeros(mask.shape, device=mask.device)
    padded = {name: zeros.masked_scatter(mask, value) for name, value in metrics.items()}
    return {**padded, "repetition": repeats(batch.target).float()}


def repeats(action: Tensor) -> Tensor:
    """``[B, T]`` bool: the ``GRAM`` tokens that end at t occurred in the row before."""
    repeated = torch.zeros_like(action, dtype=torch.bool)
    if action.shape[1] >= GRAM:
        grams = action.unfold(1, GRAM, 1)  # [B, T - GRAM + 1, GRAM]
        same = (grams[:, :, None] == grams[:, None]).all(-1)  # [B, T - GRAM + 1, T - GRAM + 1]
        repeated[:, GRAM - 1 :] = same.tril(-1).any(-1)
    return repeated


def corrupted(
    start: Tensor,
    length: Tensor,
    at: int,
    vocabulary_size: int,
    rngs: Sequence[np.random.Generator],
) -> Tensor:
    """``start`` ``[B, F]`` with other tokens, drawn uniformly, from ``at`` on in rows longer than it (``length`` ``[B]``)."""
    start, ordinary = start.clone(), vocabulary_size - UNK
    for row, rng in enumerate(rngs):
        if length[row] > start.shape[1]:
            other = torch.from_numpy(rng.integers(1, ordinary, start.shape[1] - at)).to(
                start.device
            )
            start[row, at:] = (start[row, at:] - UNK + other) % ordinary + UNK
    return start


def report(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """The metrics of one student by the prefixes they are on, ready for JSON; each is a ``band``."""
    rows = {who: tallies[who] for who in ROLL_INS}
    tokens = {who: tally.count.sum(1) for who, tally in rows.items()}  # [1 + R]
    return {
        "sentences": int(rows["reference"].count[0, 0]),
        "mean": {
            who: {name: band(total.sum(1) / tokens[who]) for name, total in rows[who].sums.items()}
            for who in rows
        },
        "length": {who: band(tokens[who] / rows[who].count[:, 0]) for who in rows},
        "length_ratio": {who: band(tokens["student"] / tokens[who]) for who in EXPERTS},
        "accumulated": {
            who: accumulated(rows["student"].curve("regret"), rows[who].curve("regret"))
            for who in EXPERTS
        },
        "by_position": {who: by_position(tally) for who, tally in rows.items()},
        "recovery": {who: by_position(tallies[who]) for who in STARTS},
    }


def by_position(tally: Tally) -> dict[str, Any]:
    """Every metric at every reached position, and "alive": the share of the sentences that are as long."""
    alive = tally.count[:, : tally.reached] / tally.count[:, :1]
    return {"alive": band(alive)} | {name: band(tally.curve(name)) for name in tally.sums}


def accumulated(student: np.ndarray, expert: np.ndarray) -> dict[str, Any]:
    """R, AccErr and %ExAccErr up to l = 1, 2, …, from KL(o ‖ p) by position on both kinds of prefix, ``[1 + R, l]`` each."""
    longest = min(student.shape[1], expert.shape[1])
    regret = student[:, :longest].cumsum(1)  # R_≤l
    error = expert[:, :longest].cumsum(1)  # l · ε_≤l
    with np.errstate(
        invalid="ignore", divide="ignore"
    ):  # a student that is its teacher has no error
        ratio = regret / error
    return {
        "regret": band(regret),
        "acc_err": band(np.arange(1, longest + 1) * ratio),
        "ex_acc_err": band(100 * (ratio - 1)),
    }
