"""The expert of a task whose right action is known at every state, also at those that no expert would come to."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from textgen_env.profiler import phase
from textgen_env.types import BOS, EOS, PAD, Trajectories, shift


class ExactOracle:
    """A subclass says which action is ``right``; every other token shares ``epsilon``, so that divergences stay finite.

    ``queries`` counts the positions scored.
    """

    def __init__(self, vocabulary_size: int, epsilon: float = 1e-6) -> None:
        self.vocabulary_size = vocabulary_size
        self.queries = 0
        self._best = math.log1p(-epsilon)
        self._other = math.log(epsilon / (vocabulary_size - 1))

    def right(self, source: Tensor, prefix: Tensor) -> Tensor:
        """The right action at every prefix: source ``[B, S]``, prefix ``[B, T]`` → ``[B, T]`` int64."""
        raise NotImplementedError

    @phase("teacher")
    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """source ``[B, S]``, prefix ``[B, T]`` → log-probabilities ``[B, T, V]``, or ``[N, V]`` where ``mask`` is True."""
        best = self.action(source, prefix, mask)
        scores = torch.full((*best.shape, self.vocabulary_size), self._other, device=source.device)
        return scores.scatter_(-1, best[..., None], self._best)

    @phase("teacher")
    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """The best action at every prefix: ``[B, T]`` int64, or ``[N]`` where ``mask`` is True."""
        best = self.right(source, prefix)
        best = best if mask is None else best[mask]
        self.queries += best.numel()
        return best

    def cost(self, source: Tensor, action: Tensor) -> Tensor:
        """What each of the actions ``[B, T]`` costs: 0 for the right one, 1 for any other."""
        return (action != self.right(source, shift(action))).float()

    def cost_to_go(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Q*(s, a): how often an action now, and obeying this oracle ever after, disagree with it: ``[B, T, V]`` or ``[N, V]``.

        0 for the right action and 1 for any other: the sum of ``cost`` from here on.
        """
        best = self.action(source, prefix, mask)
        return torch.ones(*best.shape, self.vocabulary_size, device=source.device).scatter_(-1, best[..., None], 0.0)

    def demonstrate(self, source: Tensor, steps: int | Tensor) -> Trajectories:
        """The right actions in a row, cut at ``steps``, a number or ``[B]``: action ``[B, T]`` as wide as the longest."""
        limit = torch.as_tensor(steps, device=source.device)
        most = int(limit.max())
        prefix = torch.full((len(source), most + 1), BOS, dtype=torch.int64, device=source.device)
        for step in range(most):
            prefix[:, step + 1] = self.right(source, prefix[:, : step + 1])[:, step]
        action = prefix[:, 1:]
        over = (action == EOS).cumsum(dim=1) > 0  # [B, T]
        length = (~over).sum(dim=1).add(1).clamp(max=limit)
        width = int(length.max())
        inside = torch.arange(width, device=source.device) < length[:, None]  # [B, T]
        self.queries += int(length.sum())
        return Trajectories(action[:, :width].masked_fill(~inside, PAD), length, length * self._best)
