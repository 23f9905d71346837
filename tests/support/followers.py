"""Students of Copy-v0 with known errors: correct except after a wrong token in the prefix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from textgen_env.tasks.copy import CopyOracle
from textgen_env.types import UNK, shift


@dataclass(frozen=True)
class FollowerState:
    """The sources ``[B, S]`` and the prefixes so far ``[B, t]``."""

    source: Tensor
    prefix: Tensor

    def select(self, index: Tensor) -> FollowerState:
        return FollowerState(self.source[index], self.prefix[index])


class Follower(nn.Module):
    """Copies like the expert, but generates UNK after a wrong token.

    It generates UNK once if it ``recovers``, and otherwise at every later step.
    """

    def __init__(self, oracle: CopyOracle, recovers: bool) -> None:
        super().__init__()
        self.oracle, self.recovers, self.vocabulary_size = oracle, recovers, oracle.vocabulary_size

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        # Whether the previous token is wrong.
        wrong = (prefix != shift(self.oracle.action(source, prefix))).int()  # [B, T]
        lost = (wrong if self.recovers else wrong.cummax(1).values).bool()  # [B, T]
        if self.recovers:
            lost &= prefix != UNK
        unk = 20.0 * F.one_hot(torch.tensor(UNK), self.vocabulary_size)  # [V]
        expert = self.oracle.log_probs(source, prefix)
        logits = torch.where(lost[..., None], unk, expert)  # [B, T, V]
        return logits if mask is None else logits[mask]

    features = forward

    def head(self, logits: Tensor) -> Tensor:
        return logits

    def start(self, source: Tensor, steps: int) -> FollowerState:
        return FollowerState(source, source[:, :0])

    def step(self, token: Tensor, state: FollowerState) -> tuple[Tensor, FollowerState]:
        state = FollowerState(state.source, torch.cat([state.prefix, token[:, None]], 1))
        return self(state.source, state.prefix)[:, -1], state
