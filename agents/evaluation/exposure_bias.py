"""Exposure bias of trained students: how far they are from their teacher, and how that accumulates.

Let o be the teacher, p a student, and d^t the distribution of prefixes of t - 1 tokens, generated
by the expert (d_o) or by the student with decoder F (d_p,F). Arora et al. 2022 ("Why Exposure Bias
Matters") define the error per step, the regret and its accumulation::

    ε_t     = E[KL(o ‖ p)] over d_o^t             ε_≤l = (ε_1 + … + ε_l) / l
    R_≤l    = Σ_{t ≤ l} E[KL(o ‖ p)] over d_p,F^t
    AccErr_≤(l) = R_≤l / ε_≤l                     %ExAccErr_≤(l) = 100 (R_≤l - l ε_≤l) / (l ε_≤l)

Without accumulation AccErr_≤(l) = l and %ExAccErr_≤(l) = 0. Here d_o is taken from the references,
as in the paper, and also from the teacher's own outputs. Texts differ in length: d^t, and so every
mean by position, is over the texts that reach step t. %ExAccErr can be negative: a greedy F stays
on likely prefixes, where a student may be closer to its teacher than on d_o.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.estimators.returns import padded
from agents.evaluation.position_means import (
    MIN_SENTENCES,
    PositionMeans,
    bootstrap_weights,
    interval,
)
from agents.generation.decoding import greedy
from agents.generation.rollout import eval_mode, rollout
from agents.precision import precision
from textgen_env.chunks import chunks
from textgen_env.data.batching import sequential_batches
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.randomness import uniform
from textgen_env.tasks.task import Task
from textgen_env.types import UNK, Batch, Oracle, Policy

EXPERTS = ("reference", "teacher")
ROLL_INS = (*EXPERTS, "student")
STARTS = ("clean", "corrupted")
PREFIXES = (*ROLL_INS, *STARTS)  # student and teacher are compared on the prefixes of each
GRAM = 4  # length of the n-grams whose repetition is counted
MAX_BATCH_TOKENS = 2048  # padding included


@dataclass(frozen=True)
class ExposureBiasConfig:
    """How to measure.

    Attributes:
        top_k: how a student samples, as in ``rollout``; 1 is greedy.
        corrupt_at: number of reference tokens before the corrupted ones.
        corrupt: number of reference tokens replaced by random ones; the student continues greedily.
        resamples: of the bootstrap; all students share the resampled sentences.
        seed: of samples, corruption and bootstrap.
        precision: "float32" or "bf16".
        device: torch device.
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
        """Length of the prefix, corrupted or clean, from which the student continues."""
        return self.corrupt_at + self.corrupt


def measure_exposure_bias(
    students: Mapping[str, Policy],
    oracle: Oracle,
    task: Task,
    split: Split,
    config: ExposureBiasConfig,
) -> dict[str, Any]:
    """Measure the exposure bias of students of one teacher, in one pass over ``split``.

    Returns:
        For each student the result of ``summarize``.

    Raises:
        UserError: there are too few sentences, or too few are longer than the corrupted prefix.
    """
    _check(task, split, config)
    means = {
        name: {prefix: PositionMeans(task.horizon, config.resamples) for prefix in PREFIXES}
        for name in students
    }
    for batch in sequential_batches(split, MAX_BATCH_TOKENS, task.limit):
        rngs = [np.random.default_rng((config.seed, row)) for row in batch.index.tolist()]
        weights = bootstrap_weights(rngs, config.resamples)  # [B, 1 + R]
        # The same noise for all students.
        noise = uniform((config.seed,), "sample", batch.index, int(batch.limit.max()))
        batch = batch.to(config.device)
        clean = batch.target[:, : config.start]  # [B, start]
        corrupted = corrupt(clean, batch.length, config.corrupt_at, len(task.vocabulary), rngs)
        starts = dict(zip(STARTS, (clean, corrupted), strict=True))
        with precision(config.precision, config.device):
            demonstration = oracle.demonstrate(batch.source, batch.limit)
            for name, student in students.items():
                sampled = rollout(student, batch.source, batch.limit, noise, config.top_k)
                outputs = {"teacher": demonstration, "student": sampled}
                with eval_mode(student):
                    for prefix, start in starts.items():
                        outputs[prefix] = greedy(
                            student, batch.source, batch.limit, start, scored=False
                        )
                    for prefix in PREFIXES:
                        output, rows = outputs.get(prefix), batch
                        if output is not None:
                            rows = replace(batch, target=output.action, length=output.length)
                        first = config.start if prefix in starts else 0
                        metrics = prefix_metrics(student, oracle, rows)
                        metrics = {key: value[:, first:] for key, value in metrics.items()}
                        means[name][prefix].add(weights, metrics, rows.mask[:, first:])
    return {name: summarize(by_prefix) for name, by_prefix in means.items()}


def _check(task: Task, split: Split, config: ExposureBiasConfig) -> None:
    if len(split) < MIN_SENTENCES:
        raise UserError(
            f"{len(split)} sentences are too few for means by position; use at least "
            f"{MIN_SENTENCES}"
        )
    lengths = [
        min(len(target), task.limit(len(source)))
        for source, target in zip(split.source, split.target, strict=True)
    ]
    longer = sum(length > config.start for length in lengths)
    if config.corrupt_at < 0 or config.corrupt < 1 or longer < MIN_SENTENCES:
        raise UserError(
            f"corrupt_at={config.corrupt_at} corrupt={config.corrupt}: fewer than "
            f"{MIN_SENTENCES} references are longer than that; choose smaller values"
        )


def prefix_metrics(student: Policy, oracle: Oracle, batch: Batch) -> dict[str, Tensor]:
    """Metrics of the student against the teacher at every prefix of ``batch``.

    Returns:
        Metrics ``[B, T]``, 0 after the end of a row. disagreement: 1 where their most likely tokens
        differ. regret: KL(o ‖ p) in nats. loss: what the teacher's log-probability loses by the
        student's choice, in nats. repetition: 1 where the last ``GRAM`` tokens occurred earlier in
        the row; its mean is seq-rep-4 of Welleck et al. 2020.
    """
    features = student.features(*batch.states)  # [N, D]
    values = [  # [3, n] each
        _differences(student.head(features[positions]), oracle.log_probs(*rows.states))
        for rows, positions in chunks(batch, student.vocabulary_size)
    ]
    names = "disagreement", "regret", "loss"
    metrics = zip(names, torch.cat(values, 1), strict=True)
    padded_metrics = {name: padded(value, batch.mask) for name, value in metrics}
    return {**padded_metrics, "repetition": repeats(batch.target).float()}


def _differences(logits: Tensor, log_o: Tensor) -> Tensor:
    """Disagreement, regret and loss, ``[3, n]``, of the student's ``logits`` ``[n, V]``."""
    log_p = logits.log_softmax(-1, dtype=torch.float32)  # [n, V]
    best, action = log_o.max(-1)
    choice = log_p.argmax(-1)
    regret = (log_o.exp() * (log_o - log_p)).sum(-1)
    loss = best - log_o.gather(1, choice[:, None]).squeeze(1)
    return torch.stack([(choice != action).float(), regret, loss])


def repeats(action: Tensor) -> Tensor:
    """Whether the ``GRAM`` tokens that end at t occurred earlier in the row, bool ``[B, T]``."""
    repeated = torch.zeros_like(action, dtype=torch.bool)
    if action.shape[1] >= GRAM:
        grams = action.unfold(1, GRAM, 1)  # [B, T - GRAM + 1, GRAM]
        same = (grams[:, :, None] == grams[:, None]).all(-1)  # [B, T - GRAM + 1, T - GRAM + 1]
        repeated[:, GRAM - 1 :] = same.tril(-1).any(-1)
    return repeated


def corrupt(
    start: Tensor,
    length: Tensor,
    first: int,
    vocabulary_size: int,
    rngs: Sequence[np.random.Generator],
) -> Tensor:
    """Replace the tokens of ``start`` from position ``first`` on by other random tokens.

    Args:
        start: the first tokens of the references, ``[B, F]``; one that is not longer is kept.
        length: lengths of the references, ``[B]``.
        first: the first position to replace.
        vocabulary_size: number of tokens.
        rngs: one generator per row.
    """
    start, ordinary = start.clone(), vocabulary_size - UNK
    for row, rng in enumerate(rngs):
        if length[row] > start.shape[1]:
            offset = torch.from_numpy(rng.integers(1, ordinary, start.shape[1] - first))
            tokens = start[row, first:] - UNK + offset.to(start.device)
            start[row, first:] = tokens % ordinary + UNK
    return start


def summarize(means: Mapping[str, PositionMeans]) -> dict[str, Any]:
    """The metrics of one student, as nested dicts of ``interval`` that are ready for JSON.

    Args:
        means: by what generated the prefixes (``ROLL_INS``) or where the student started
            (``STARTS``).
    """
    rows = {prefix: means[prefix] for prefix in ROLL_INS}
    tokens = {prefix: row.count.sum(1) for prefix, row in rows.items()}  # [1 + R]
    regret = rows["student"].curve("regret")
    return {
        "sentences": int(rows["reference"].count[0, 0]),
        "mean": {
            prefix: {
                name: interval(total.sum(1) / tokens[prefix]) for name, total in row.sums.items()
            }
            for prefix, row in rows.items()
        },
        "length": {
            prefix: interval(tokens[prefix] / row.count[:, 0]) for prefix, row in rows.items()
        },
        "length_ratio": {
            expert: interval(tokens["student"] / tokens[expert]) for expert in EXPERTS
        },
        "accumulated": {
            expert: accumulated(regret, rows[expert].curve("regret")) for expert in EXPERTS
        },
        "by_position": {prefix: by_position(row) for prefix, row in rows.items()},
        "recovery": {start: by_position(means[start]) for start in STARTS},
    }


def by_position(means: PositionMeans) -> dict[str, Any]:
    """Every metric at every reached position; "alive" is the share of sentences that reach it."""
    alive = means.count[:, : means.reached] / means.count[:, :1]
    return {"alive": interval(alive)} | {name: interval(means.curve(name)) for name in means.sums}


def accumulated(student: np.ndarray, expert: np.ndarray) -> dict[str, Any]:
    """R_≤l, AccErr_≤(l) and %ExAccErr_≤(l) for l = 1, 2, ….

    Args:
        student: KL(o ‖ p) by position on the student's prefixes, ``[1 + R, l]``.
        expert: KL(o ‖ p) by position on the expert's prefixes, ``[1 + R, l]``.
    """
    longest = min(student.shape[1], expert.shape[1])
    regret = student[:, :longest].cumsum(1)  # R_≤l
    error = expert[:, :longest].cumsum(1)  # l · ε_≤l
    with np.errstate(invalid="ignore", divide="ignore"):  # error is 0 if student equals teacher
        ratio = regret / error
    return {
        "regret": interval(regret),
        "acc_err": interval(np.arange(1, longest + 1) * ratio),
        "ex_acc_err": interval(100 * (ratio - 1)),
    }
