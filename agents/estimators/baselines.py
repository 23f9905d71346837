"""What a policy gradient compares a return with: one number, or a value of every state.  Neither sees the action: no bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textgen_env.errors import unknown
from textgen_env.types import Policy

BASELINES = ("running", "critic")


def baseline(name: str, policy: Policy) -> Running | Critic:
    """The baseline of that name for ``policy``, on its device."""
    if name not in BASELINES:
        raise unknown("baseline", name, BASELINES)
    made = Running() if name == "running" else Critic(policy.feature_width)
    return made.to(next(policy.parameters()).device)


class Running(nn.Module):
    """The mean return so far, which forgets at ``rate``: nothing to learn by gradient."""

    mean: Tensor
    seen: Tensor

    def __init__(self, rate: float = 0.05) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """``[N, D]`` → ``[N]``."""
        return self.mean.expand(len(features))

    def loss(self, values: Tensor, returns: Tensor) -> Tensor:
        """Takes ``returns`` ``[N]`` into the mean, which ``values`` were read from before; nothing to minimise."""
        self.seen += 1
        self.mean = self.mean.lerp(returns.mean(), max(self.rate, 1 / self.seen.item()))
        return returns.new_zeros(())


class Critic(nn.Module):
    """The mean return so far and a linear map of the policy's features, fitted by least squares (Ranzato et al. 2016).

    No gradient reaches the policy.  The mean is right at once, which a bias is not while the learning rate warms up.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.running = Running()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor) -> Tensor:
        """``[N, D]`` → ``[N]``, in float32 whatever the precision: returns are compared with it."""
        return (features.detach().float() * self.weight).sum(-1) + self.running(features)

    def loss(self, values: Tensor, returns: Tensor) -> Tensor:
        """Mean squared error of ``values`` ``[N]``; takes ``returns`` into the mean."""
        return (values - returns).square().mean() + self.running.loss(values, returns)
