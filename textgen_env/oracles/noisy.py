"""An expert that slips."""

from __future__ import annotations

import torch
from torch import Tensor

from textgen_env.errors import Range, check_range
from textgen_env.types import EOS, LOG_ZERO, PAD, Oracle, Trajectories, shift


class NoisyOracle:
    """With probability ``epsilon`` at every state a uniformly random token instead of the oracle's action.

    ``log_probs`` is the mixture that this amounts to: (1 - ε) π* + ε / V.
    """

    def __init__(self, oracle: Oracle, epsilon: float, generator: torch.Generator) -> None:
        check_range("epsilon", epsilon, Range(0, 1))
        self.oracle, self.epsilon, self.generator = oracle, epsilon, generator
        self.vocabulary_size = oracle.vocabulary_size

    @property
    def queries(self) -> int:
        return self.oracle.queries

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        clean = self.oracle.log_probs(source, prefix, mask)
        return (
            clean.exp()
            .mul(1 - self.epsilon)
            .add(self.epsilon / self.vocabulary_size)
            .log()
            .clamp(min=LOG_ZERO)
        )

    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        clean = self.oracle.action(source, prefix, mask)
        slip = torch.rand(clean.shape, generator=self.generator) < self.epsilon
        random = torch.randint(self.vocabulary_size, clean.shape, generator=self.generator)
        return torch.where(slip.to(clean.device), random.to(clean.device), clean)

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        return follow(self, source, limit)


def follow(oracle: Oracle, source: Tensor, limit: int | Tensor) -> Trajectories:
    """Take the oracle's action at most ``limit`` times (a number, or ``[B]``).  Two queries an action.

    The score is under the oracle's distribution.
    """
    limit = torch.as_tensor(limit, device=source.device).expand(len(source))  # [B]
    action = torch.full((len(source), int(limit.max())), PAD, device=source.device)  # [B, T]
    score = torch.zeros(len(source), device=source.device)
    length = torch.zeros_like(action[:, 0])
    rows = torch.arange(len(source), device=source.device)  # not ended
    for step in range(action.shape[1]):
        prefix = shift(action[rows, : step + 1])
        mask = torch.zeros_like(prefix, dtype=torch.bool)
        mask[:, -1] = True
        token = oracle.action(source[rows], prefix, mask)
        score[rows] += oracle.log_probs(source[rows], prefix, mask).gather(1, token[:, None])[:, 0]
        action[rows, step] = token
        length[rows] = step + 1
        rows = rows[(token != EOS) & (limit[rows] > step + 1)]
        if not len(rows):
            break
    return Trajectories(action[:, : int(length.max())], length, score)
