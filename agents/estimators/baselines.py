"""What a policy gradient compares a return with: one number, or a value of every state. Neither sees the action: no bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.estimators.returns import padded
from textgen_env.errors import unknown
from textgen_env.types import Policy

BASELINES = ("running", "critic")


def baseline(name: str, policy: Policy) -> Running | Critic:
    """The baseline of that name for ``policy``."""
    if name not in BASELINES:
        raise unknown("baseline", name, BASELINES)
    return Running() if name == "running" else Critic(policy.feature_width)


class Running(nn.Module):
    """The mean return so far, which forgets at ``rate``: nothing to learn by gradient."""

    mean: Tensor
    updates: Tensor

    def __init__(self, rate: float = 0.05) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("updates", torch.zeros(()))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Values ``[R, T]`` of the states at ``mask`` ``[R, T]``, whose features are ``[N, D]``."""
        return self.mean * mask

    def loss(self, values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
        """Take the ``returns`` ``[R, T]`` at ``mask`` into the mean; ``[R]`` zeros, as there is nothing to minimize."""
        if mask.any():
            self.updates += 1
            self.mean = self.mean.lerp(
                returns[mask].mean(), max(self.rate, 1 / self.updates.item())
            )
        return returns.new_zeros(len(returns))


class Critic(nn.Module):
    """The mean return so far and a linear map of the policy's features, fitted by least squares (Ranzato et al. 2016).

    No gradient reaches the policy. The mean is right at once, which a bias is not while the learning rate warms up.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.running = Running()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """As of ``Running``, in float32 whatever the precision: returns are compared with it."""
        return padded((features.detach().float() * self.weight).sum(-1), mask) + self.running(
            features, mask
        )

    def loss(self, values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
        """The mean squared error at ``mask`` in each episode, ``[R]``; takes ``returns`` into the mean."""
        error = (values - returns).square() * mask  # [R, T]
        return error.sum(1) / mask.sum(1).clamp(min=1) + self.running.loss(values, returns, mask)
