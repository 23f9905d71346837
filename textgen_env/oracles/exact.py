"""The expert of a task whose optimal action is known in every state."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from textgen_env.profiler import phase
from textgen_env.types import BOS, EOS, PAD, Trajectories, shift


class ExactOracle:
    """Takes the ``optimal_action`` that a subclass defines.

    Args:
        vocabulary_size: V
        epsilon: probability of all other tokens together, which keeps divergences finite
    """

    def __init__(self, vocabulary_size: int, epsilon: float = 1e-6) -> None:
        self.vocabulary_size, self.epsilon = vocabulary_size, epsilon
        self.queries = 0

    def optimal_action(self, source: Tensor, prefix: Tensor) -> Tensor:
        """The optimal action at every prefix, int64 ``[B, T]``."""
        raise NotImplementedError

    @phase("teacher")
    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Oracle.log_probs``."""
        action = self.action(source, prefix, mask)
        return smoothed_log_probs(action, self.vocabulary_size, self.epsilon)

    @phase("teacher")
    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Oracle.action``."""
        action = self.optimal_action(source, prefix)
        action = action if mask is None else action[mask]
        self.queries += action.numel()
        return action

    def cost(self, source: Tensor, action: Tensor) -> Tensor:
        """The cost of each action, float32 ``[B, T]``: 0 if it is optimal, otherwise 1."""
        return (action != self.optimal_action(source, shift(action))).float()

    def cost_to_go(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Q*(s, a): the sum of ``cost`` over action a and the expert's actions after it.

        Returns:
            ``[B, T, V]`` or ``[N, V]``: 0 for the optimal action, 1 for every other.
        """
        action = self.action(source, prefix, mask)
        cost = torch.ones(*action.shape, self.vocabulary_size, device=source.device)
        return cost.scatter_(-1, action[..., None], 0.0)

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """See ``Oracle.demonstrate``."""
        limit = torch.as_tensor(limit, device=source.device)
        shape = len(source), int(limit.max()) + 1
        prefix = torch.full(shape, BOS, dtype=torch.int64, device=source.device)  # [B, T + 1]
        for step in range(shape[1] - 1):
            prefix[:, step + 1] = self.optimal_action(source, prefix[:, : step + 1])[:, step]
        action = prefix[:, 1:]
        ended = (action == EOS).cumsum(dim=1) > 0  # [B, T]
        length = (~ended).sum(dim=1).add(1).clamp(max=limit)
        width = int(length.max())
        mask = torch.arange(width, device=source.device) < length[:, None]  # [B, T]
        self.queries += int(length.sum())
        score = length * math.log1p(-self.epsilon)
        return Trajectories(action[:, :width].masked_fill(~mask, PAD), length, score)


def smoothed_log_probs(action: Tensor, vocabulary_size: int, epsilon: float) -> Tensor:
    """Log-probabilities ``[…, V]``: 1 - ε for ``action`` ``[…]``, ε shared by all other tokens."""
    other = math.log(epsilon / (vocabulary_size - 1))
    log_probs = torch.full((*action.shape, vocabulary_size), other, device=action.device)
    return log_probs.scatter_(-1, action[..., None], math.log1p(-epsilon))
