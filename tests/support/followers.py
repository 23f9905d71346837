"""Students of Copy-v0 that are known by heart: right, but for what a wrong token before does to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from textgen_env.tasks.copy import CopyOracle
from textgen_env.types import UNK, shift


@dataclass(frozen=True)
class State:
    """The sources and what was read so far, ``[B, S]`` and ``[B, t]``."""

    source: Tensor
    prefix: Tensor

    def select(self, index: Tensor) -> State:
        return State(self.source[index], self.prefix[index])


class Follower(nn.Module):
    """Copies as its expert does, but writes UNK after a wrong token: for ever, or (``recovers``) until it has written one."""

    def __init__(self, oracle: CopyOracle, recovers: bool) -> None:
        super().__init__()
        self.oracle, self.recovers, self.vocabulary_size = oracle, recovers, oracle.vocabulary_size

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        wrong = (
            prefix != shift(self.oracle.action(source, prefix))
        ).int()  # [B, T] the token before
        fallen = (
            (wrong.bool() & (prefix != UNK)) if self.recovers else wrong.cummax(1).values.bool()
        )
        falls = 20.0 * F.one_hot(torch.tensor(UNK), self.vocabulary_size)  # [V]
        logits = torch.where(
            fallen[..., None], falls, self.oracle.log_probs(source, prefix)
        )  # [B, T, V]
        return logits if mask is None else logits[mask]

    def start(self, source: Tensor, steps: int) -> State:
        return State(source, source[:, :0])

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        state = State(state.source, torch.cat([state.prefix, token[:, None]], 1))
        return self(state.source, state.prefix)[:, -1], state
