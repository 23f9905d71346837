"""How the actions of an episode are credited with its rewards. Everything is ``[R, T]``, and 0 after an episode's end."""

from __future__ import annotations

import torch
from torch import Tensor


def padded(values: Tensor, mask: Tensor) -> Tensor:
    """``values`` ``[N]`` at the N places where ``mask`` ``[R, T]`` is True, and 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def to_go(rewards: Tensor) -> Tensor:
    """The reward of every action and of all that follow: ``[R, T]`` → ``[R, T]``."""
    return rewards.flip(1).cumsum(1).flip(1)


def generalized_advantage(rewards: Tensor, values: Tensor, trace: float) -> Tensor:
    """Â_t = Σ_k λ^k (r_{t+k} + V_{t+k+1} - V_{t+k}), undiscounted (Schulman et al. 2016, equation 16).

    Args:
        rewards: ``[R, T]``.
        values: V, ``[R, T]``.
        trace: λ; 1: the reward to go less the value.
    """
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
    error = rewards + following - values  # [R, T], of temporal differences
    advantage, total = torch.zeros_like(error), torch.zeros_like(error[:, 0])
    for time in reversed(range(error.shape[1])):
        total = error[:, time] + trace * total
        advantage[:, time] = total
    return advantage
