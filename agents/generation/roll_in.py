"""Whose prefixes an imitator learns on: by the toss of a coin the data's or its own (Lin et al. 2020, Algorithm 1)."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from agents.generation.mixture import Mixture, mixed
from agents.generation.rollout import roll_out
from textgen_env.errors import unknown
from textgen_env.types import PAD, Batch, Oracle, Policy, Trajectories

MIXTURES = ("step", "sequence", "batch")


class Mixed(NamedTuple):
    """A mini-batch after its roll-in.

    on_policy ``[B]`` bool, on the processor: rows that are the student's, at least in part.  decoded: tokens it took to
    write them.  asked: states that the oracle was asked to act at.
    """

    batch: Batch
    on_policy: Tensor
    decoded: int
    asked: int = 0


class RollIn:
    """Mini-batches in which the student has written some rows.

    mixture: what a coin decides about.  "sequence": the row keeps its training pair with probability β, else the student
    writes for its source.  "batch": the same, one coin for all rows.  "step": Ross et al. 2011's π_i = βπ* + (1 - β)π, no
    training pair is kept.  top_k: as in ``roll_out``.
    """

    def __init__(self, policy: Policy, oracle: Oracle, generator: torch.Generator, mixture: str, top_k: int) -> None:
        if mixture not in MIXTURES:
            raise unknown("mixture", mixture, MIXTURES)
        self.policy, self.oracle, self.generator = policy, oracle, generator
        self.mixture, self.top_k = mixture, top_k

    def __call__(self, batches: list[Batch], betas: list[float]) -> list[Mixed]:
        """Each of ``batches`` with its β; the student writes for all of them at once."""
        if self.mixture == "step":
            return [self.by_step(batch, beta) for batch, beta in zip(batches, betas, strict=True)]
        return self.rewrite(batches, [self.toss(batch, beta) for batch, beta in zip(batches, betas, strict=True)])

    def toss(self, batch: Batch, beta: float) -> Tensor:
        """``[B]`` bool, on the processor: the rows that the student writes."""
        coins = torch.rand(len(batch) if self.mixture == "sequence" else 1, generator=self.generator)
        return (coins > beta).expand(len(batch))

    def rewrite(self, batches: list[Batch], on_policy: list[Tensor]) -> list[Mixed]:
        """The batches with the rows ``on_policy`` ``[B]`` of each generated anew, each up to the limit of its source."""
        sizes = [int(which.sum()) for which in on_policy]
        if not any(sizes):
            return [Mixed(*each, 0) for each in zip(batches, on_policy, strict=True)]
        limit = torch.cat([batch.limit[which] for batch, which in zip(batches, on_policy, strict=True)])
        source = _stacked([batch.source[which] for batch, which in zip(batches, on_policy, strict=True)])
        written = roll_out(self.policy, source, limit, self.generator, self.top_k)
        parts = zip(*(part.split(sizes) for part in (written.action, written.length, written.score)), strict=True)
        return [
            Mixed(batch.with_rows(which, Trajectories(action, length, score)), which, int(length.sum()))
            for batch, which, (action, length, score) in zip(batches, on_policy, parts, strict=True)
        ]

    def by_step(self, batch: Batch, beta: float) -> Mixed:
        """``batch`` written by oracle and student in turn, a coin per step."""
        expert = torch.rand(len(batch), int(batch.limit.max()), generator=self.generator) < beta  # [B, T]
        before = self.oracle.queries
        mixture = Mixture(self.policy, self.oracle, expert.to(batch.source.device))
        written = mixed(mixture, batch.source, batch.limit, self.generator, self.top_k)
        asked = self.oracle.queries - before
        batch = batch.with_rows(torch.ones_like(batch.length, dtype=torch.bool), written)
        on_policy = (~expert[:, : batch.target.shape[1]] & batch.actual).any(1)
        return Mixed(batch, on_policy, batch.tokens, asked)


def _stacked(sources: list[Tensor]) -> Tensor:
    """``[B, S]`` each → all rows in one, as wide as the widest."""
    width = max(source.shape[1] for source in sources)
    return torch.cat([pad(source, (0, width - source.shape[1]), value=PAD) for source in sources])


def packed(rolled: list[Mixed]) -> dict[str, Tensor]:
    """Roll-ins as named tensors; ``unpacked`` has them back."""
    tensors: dict[str, Tensor] = {}
    for place, each in enumerate(rolled):
        counts = torch.tensor([each.decoded, each.asked])
        parts = {**asdict(each.batch), "on_policy": each.on_policy, "counts": counts}
        tensors |= {f"{place}.{name}": part.contiguous() for name, part in parts.items()}
    return tensors


def unpacked(tensors: dict[str, Tensor], device: torch.device) -> list[Mixed]:
    """What ``packed`` made of them, on ``device``."""
    rolled: list[Mixed] = []
    while f"{len(rolled)}.counts" in tensors:
        name = f"{len(rolled)}."
        batch = Batch(**{field.name: tensors[name + field.name] for field in fields(Batch)})
        decoded, asked = tensors[name + "counts"].tolist()
        rolled.append(Mixed(batch.to(device), tensors[name + "on_policy"], decoded, asked))
    return rolled
