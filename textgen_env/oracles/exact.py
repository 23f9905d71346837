"""The expert of a task whose right action is known at every state, also at those that no expert would visit."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from textgen_env.profiler import phase
from textgen_env.types import BOS, EOS, PAD, Trajectories, shift


class ExactOracle:
    """A subclass says which action is ``right``; every other token shares ``epsilon``, so that divergences stay finite."""

    def __init__(self, vocabulary_size: int, epsilon: float = 1e-6) -> None:
        self.vocabulary_size, self.epsilon = vocabulary_size, epsilon
        self.queries = 0

    def right(self, source: Tensor, prefix: Tensor) -> Tensor:
        """The right action at every prefix: source ``[B, S]``, prefix ``[B, T]`` → ``[B, T]`` int64."""
        raise NotImplementedError

    @phase("teacher")
    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        return smoothed(self.action(source, prefix, mask), self.vocabulary_size, self.epsilon)

    @phase("teacher")
    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        right = self.right(source, prefix)
        right = right if mask is None else right[mask]
        self.queries += right.numel()
        return right

    def cost(self, source: Tensor, action: Tensor) -> Tensor:
        """What each of the actions ``[B, T]`` costs: 0 for the right one, 1 for any other."""
        return (action != self.right(source, shift(action))).float()

    def cost_to_go(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Q*(s, a): the sum of ``cost`` from here on of an action now and the expert's ever after.

        Returns:
            ``[B, T, V]`` or ``[N, V]``: 0 for the right action and 1 for any other.
        """
        right = self.action(source, prefix, mask)
        return torch.ones(*right.shape, self.vocabulary_size, device=source.device).scatter_(
            -1, right[..., None], 0.0
        )

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """The right actions in a row, at most ``limit``, a number or ``[B]``: action ``[B, T]`` as wide as the longest."""
        limit = torch.as_tensor(limit, device=source.device)
        horizon = int(limit.max())
        prefix = torch.full(
            (len(source), horizon + 1), BOS, dtype=torch.int64, device=source.device
        )
        for step in range(horizon):
            prefix[:, step + 1] = self.right(source, prefix[:, : step + 1])[:, step]
        action = prefix[:, 1:]
        ended = (action == EOS).cumsum(dim=1) > 0  # [B, T]
        length = (~ended).sum(dim=1).add(1).clamp(max=limit)
        width = int(length.max())
        inside = torch.arange(width, device=source.device) < length[:, None]  # [B, T]
        self.queries += int(length.sum())
        return Trajectories(
            action[:, :width].masked_fill(~inside, PAD), length, length * math.log1p(-self.epsilon)
        )


def smoothed(action: Tensor, vocabulary_size: int, epsilon: float) -> Tensor:
    """Log-probabilities ``[…, V]`` of ``action`` ``[…]`` with 1 - ε, and of all other tokens with ε together."""
    other = math.log(epsilon / (vocabulary_size - 1))
    log_probs = torch.full((*action.shape, vocabulary_size), other, device=action.device)
    return log_probs.scatter_(-1, action[..., None], math.log1p(-epsilon))
