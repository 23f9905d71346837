"""A policy that ignores its input, and scoring by teacher forcing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textgen_env.types import Policy, Trajectories, shift


@dataclass(frozen=True)
class Rows:
    """The decoding state of a ``TablePolicy``: a number of rows."""

    count: int

    def select(self, index: Tensor) -> Rows:
        return Rows(len(index))


@dataclass(frozen=True)
class TablePolicy:
    """The same logits ``[V]`` at every step."""

    logits: Tensor

    @property
    def vocabulary_size(self) -> int:
        return len(self.logits)

    def __call__(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        logits = self.logits.expand(*prefix.shape, -1)
        return logits if mask is None else logits[mask]

    def start(self, source: Tensor, limit: int) -> Rows:
        return Rows(len(source))

    def step(self, token: Tensor, state: Rows) -> tuple[Tensor, Rows]:
        return self.logits.expand(state.count, -1), state


@torch.no_grad()
def teacher_forced_score(policy: Policy, source: Tensor, output: Trajectories) -> Tensor:
    """The summed log-probability of each row's actions ``[B]``."""
    log_probs = policy(source, shift(output.action)).log_softmax(-1)
    log_probs = log_probs.gather(2, output.action[:, :, None]).squeeze(2)  # [B, T]
    inside = torch.arange(output.action.shape[1]) < output.length[:, None]
    return log_probs.where(inside, 0.0).sum(1)
