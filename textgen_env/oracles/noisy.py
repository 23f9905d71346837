"""An oracle that sometimes takes a random action."""

from __future__ import annotations

import torch
from torch import Tensor

from textgen_env.errors import Range, check_range
from textgen_env.types import EOS, LOG_ZERO, PAD, Oracle, Trajectories, shift


class NoisyOracle:
    """Takes a uniformly random token with probability ``epsilon``, else the oracle's action.

    ``log_probs`` is the resulting mixture, (1 - ε) π* + ε / V.
    """

    def __init__(self, oracle: Oracle, epsilon: float, generator: torch.Generator) -> None:
        check_range("epsilon", epsilon, Range(0, 1))
        self.oracle, self.epsilon, self.generator = oracle, epsilon, generator
        self.vocabulary_size = oracle.vocabulary_size

    @property
    def queries(self) -> int:
        """Number of positions that the wrapped oracle has answered."""
        return self.oracle.queries

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Oracle.log_probs``."""
        probs = self.oracle.log_probs(source, prefix, mask).exp()
        mixture = probs.mul(1 - self.epsilon).add(self.epsilon / self.vocabulary_size)
        return mixture.log().clamp(min=LOG_ZERO)

    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Oracle.action``."""
        action = self.oracle.action(source, prefix, mask)
        is_random = torch.rand(action.shape, generator=self.generator) < self.epsilon
        random = torch.randint(self.vocabulary_size, action.shape, generator=self.generator)
        return torch.where(is_random.to(action.device), random.to(action.device), action)

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """See ``Oracle.demonstrate``."""
        return follow(self, source, limit)


def follow(oracle: Oracle, source: Tensor, limit: int | Tensor) -> Trajectories:
    """Generate by taking the oracle's action at every step, at two queries per action.

    Args:
        oracle: the oracle; its ``log_probs`` give the score
        source: ``[B, S]``
        limit: the maximum number of actions: a number, or ``[B]``, one per row
    """
    limit = torch.as_tensor(limit, device=source.device).expand(len(source))  # [B]
    action = torch.full((len(source), int(limit.max())), PAD, device=source.device)  # [B, T]
    score = torch.zeros(len(source), device=source.device)
    length = torch.zeros_like(action[:, 0])
    rows = torch.arange(len(source), device=source.device)  # unfinished
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
