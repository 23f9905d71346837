"""Exposure bias of trained students: how far each is from its teacher, on whose prefixes, and how that adds up.

With o the teacher, p a student, and d^t the prefixes of t - 1 tokens that the expert (d_o) or the student's decoder F (d_p,F)
writes, Arora et al. 2022 ("Why Exposure Bias Matters") define the error a step, the regret, and what of it is accumulation::

    ε_t     = E[KL(o ‖ p)] over d_o^t             ε_≤l = (ε_1 + … + ε_l) / l
    R_≤l    = Σ_{t ≤ l} E[KL(o ‖ p)] over d_p,F^t
    AccErr_≤(l) = R_≤l / ε_≤l                     %ExAccErr_≤(l) = 100 (R_≤l - l ε_≤l) / (l ε_≤l)

Without accumulation AccErr_≤(l) = l and %ExAccErr_≤(l) = 0.  d_o is taken from the references, as the paper does, and from the
teacher's own outputs.  Texts end at different lengths: d^t, and so every mean by position, is over those that reach step t.
%ExAccErr can be below 0: a greedy F keeps to likely prefixes, on which a student may be closer to its teacher than on d_o.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.evaluation.tally import LEAST, Tally, band, weigh
from agents.generation.decoding import greedy
from agents.generation.rollout import acting, roll_out
from agents.precision import precision
from textgen_env.data.batching import in_order
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.types import UNK, Batch, Oracle, Policy, Trajectories

EXPERTS = ("reference", "teacher")
ROLL_INS = (*EXPERTS, "student")
STARTS = ("clean", "corrupted")
GRAM = 4  # tokens that have to recur to count as repetition
TOKENS = 2048  # positions scored side by side: [TOKENS, V] is what has to fit


def measure(
    students: Mapping[str, Policy],
    oracle: Oracle,
    task: Task,
    split: Split,
    *,
    top_k: int,
    corrupt_at: int,
    corrupt: int,
    resamples: int,
    seed: int,
    amp: str,
    device: str,
) -> dict[str, Any]:
    """``{name: report}`` of ``students`` that share a teacher, on the sentences of ``split``, in one pass over them.

    top_k: how a student writes, as in ``roll_out``.  corrupt_at, corrupt: after so many tokens of the reference
    so many random ones stand in its place, and the student goes on greedily.  resamples: of the bootstrap; all students
    are resampled by the same sentences.
    """
    if len(split) < LEAST:
        raise UserError(f"{len(split)} sentences: at least {LEAST} are needed for a mean by position")
    going_on = sum(
        min(len(target), task.limit(len(source))) > corrupt_at + corrupt
        for source, target in zip(split.source, split.target, strict=True)
    )
    if corrupt_at < 0 or corrupt < 1 or going_on < LEAST:
        raise UserError(
            f"corrupt_at={corrupt_at} corrupt={corrupt}: fewer than {LEAST} references go on after that; choose less"
        )
    tallies = {name: {who: Tally(task.horizon, resamples) for who in (*ROLL_INS, *STARTS)} for name in students}
    generators = {name: torch.Generator().manual_seed(seed) for name in students}
    for batch in in_order(split, TOKENS, task):
        draws = [np.random.default_rng((seed, row)) for row in batch.index.tolist()]  # a sentence's own, whatever its batch
        weights = weigh(draws, resamples)  # [B, 1 + R]
        batch = batch.to(device)
        starts = {"clean": batch.target[:, : corrupt_at + corrupt]}
        starts["corrupted"] = spoil(starts["clean"], batch.length, corrupt_at, len(task.vocabulary), draws)
        with precision(amp, device):
            taught = oracle.demonstrate(batch.source, batch.limit)
            for name, student in students.items():
                written = {
                    "teacher": taught,
                    "student": roll_out(student, batch.source, batch.limit, generators[name], top_k),
                }
                with acting(student):
                    for who, start in starts.items():
                        written[who] = greedy(student, batch.source, batch.limit, start, scored=False)
                    for who, tally in tallies[name].items():
                        rows = batch if who == "reference" else wrote(batch, written[who])
                        skip = starts[who].shape[1] if who in starts else 0
                        values = {figure: value[:, skip:] for figure, value in compare(student, oracle, rows).items()}
                        tally.add(weights, values, rows.mask[:, skip:])
    return {name: report(tally) for name, tally in tallies.items()}


def wrote(batch: Batch, text: Trajectories) -> Batch:
    """The same sources with what was written for them."""
    return replace(batch, target=text.action, length=text.length)


def compare(student: Policy, oracle: Oracle, batch: Batch) -> dict[str, Tensor]:
    """What the teacher thinks of the student at every prefix of ``batch``, ``[B, T]`` each, 0 after a row's end.

    disagreement: 1 where their likeliest tokens differ.  regret: KL(o ‖ p) in nats.  loss: log-probability that the teacher
    gives away by the student's choice, in nats.  repetition: 1 where the ``GRAM`` tokens up to here already stood in the row;
    its mean is seq-rep-4 of Welleck et al. 2020.
    """
    mask = batch.mask
    ours = student(batch.source, batch.prefix, mask).log_softmax(-1, dtype=torch.float32)  # [N, V]
    theirs = oracle.log_probs(batch.source, batch.prefix, mask)  # [N, V]
    best, wanted = theirs.max(-1)
    choice = ours.argmax(-1)
    figures = {
        "disagreement": (choice != wanted).float(),
        "regret": (theirs.exp() * (theirs - ours)).sum(-1),
        "loss": best - theirs.gather(1, choice[:, None]).squeeze(1),
    }
    spread = {name: torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, value) for name, value in figures.items()}
    return {**spread, "repetition": repeats(batch.target).float()}


def repeats(action: Tensor) -> Tensor:
    """``[B, T]`` bool: the ``GRAM`` tokens that end at t stood in the row before."""
    found = torch.zeros_like(action, dtype=torch.bool)
    if action.shape[1] >= GRAM:
        grams = action.unfold(1, GRAM, 1)  # [B, T - GRAM + 1, GRAM]
        same = (grams[:, :, None] == grams[:, None]).all(-1)  # [B, T - GRAM + 1, T - GRAM + 1]
        found[:, GRAM - 1 :] = same.tril(-1).any(-1)
    return found


def spoil(start: Tensor, length: Tensor, at: int, vocabulary_size: int, draws: Sequence[np.random.Generator]) -> Tensor:
    """``start`` ``[B, F]`` with other tokens, drawn evenly, from ``at`` on in rows that go on after it (``length`` ``[B]``)."""
    broken, ordinary = start.clone(), vocabulary_size - UNK
    for row, rng in enumerate(draws):
        if length[row] > start.shape[1]:
            other = torch.from_numpy(rng.integers(1, ordinary, start.shape[1] - at)).to(start.device)
            broken[row, at:] = (start[row, at:] - UNK + other) % ordinary + UNK
    return broken


def report(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """The figures of one student by whose prefixes they are on, JSON-able; each is a ``band``."""
    rows = {who: tallies[who] for who in ROLL_INS}
    tokens = {who: tally.count.sum(1) for who, tally in rows.items()}  # [1 + R]
    return {
        "sentences": int(rows["reference"].count[0, 0]),
        "mean": {who: {name: band(total.sum(1) / tokens[who]) for name, total in rows[who].sums.items()} for who in rows},
        "length": {who: band(tokens[who] / rows[who].count[:, 0]) for who in rows},
        "length_ratio": {who: band(tokens["student"] / tokens[who]) for who in EXPERTS},
        "accumulated": {who: accumulated(rows["student"].curve("regret"), rows[who].curve("regret")) for who in EXPERTS},
        "by_position": {who: by_position(tally) for who, tally in rows.items()},
        "recovery": {who: by_position(tallies[who]) for who in STARTS},
    }


def by_position(tally: Tally) -> dict[str, Any]:
    """Every figure at every reached position, and "alive": the share of the sentences that are as long."""
    alive = tally.count[:, : tally.reached] / tally.count[:, :1]
    return {"alive": band(alive)} | {name: band(tally.curve(name)) for name in tally.sums}


def accumulated(student: np.ndarray, expert: np.ndarray) -> dict[str, Any]:
    """R, AccErr and %ExAccErr up to l = 1, 2, …, from KL(o ‖ p) by position on both kinds of prefix, ``[1 + R, l]`` each."""
    longest = min(student.shape[1], expert.shape[1])
    regret = student[:, :longest].cumsum(1)  # R_≤l
    error = expert[:, :longest].cumsum(1)  # l · ε_≤l
    with np.errstate(invalid="ignore", divide="ignore"):  # a student that is its teacher errs nowhere
        ratio = regret / error
    return {
        "regret": band(regret),
        "acc_err": band(np.arange(1, longest + 1) * ratio),
        "ex_acc_err": band(100 * (ratio - 1)),
    }
