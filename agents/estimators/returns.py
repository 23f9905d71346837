"""Returns and advantages. All tensors are ``[R, T]``, and 0 after the end of an episode."""

from __future__ import annotations

import torch
from torch import Tensor


def padded(values: Tensor, mask: Tensor) -> Tensor:
    """Scatter ``values`` ``[N]`` to the N True positions of ``mask`` ``[R, T]``; 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def rewards_to_go(rewards: Tensor, discount: float = 1.0) -> Tensor:
    """The sum of each action's reward and all later ones, Σ_k γ^k r_{t+k}: ``[R, T]`` → ``[R, T]``.

    Args:
        rewards: r, ``[R, T]``.
        discount: γ, in [0, 1].
    """
    if discount == 1:
        return rewards.flip(1).cumsum(1).flip(1)
    to_go, total = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    for time in reversed(range(rewards.shape[1])):
        total = rewards[:, time] + discount * total
        to_go[:, time] = total
    return to_go


def generalized_advantage(rewards: Tensor, values: Tensor, trace: float) -> Tensor:
    """Generalized advantage estimate, undiscounted (Schulman et al. 2016, equation 16).

    Â_t = Σ_k λ^k (r_{t+k} + V_{t+k+1} - V_{t+k}), ``[R, T]``.

    Args:
        rewards: r, ``[R, T]``.
        values: V, ``[R, T]``.
        trace: λ; with 1 it is the reward to go minus the value.
    """
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
    error = rewards + following - values  # [R, T], temporal differences
    return rewards_to_go(error, trace)
