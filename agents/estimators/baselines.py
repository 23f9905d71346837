"""Baselines for policy gradients. They do not depend on the action, so they add no bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.estimators.returns import padded
from textgen_env.errors import unknown
from textgen_env.types import Policy

BASELINES = ("running", "critic")


def make_baseline(name: str, policy: Policy) -> RunningMean | Critic:
    """The baseline ``name`` for ``policy``."""
    if name not in BASELINES:
        raise unknown("baseline", name, BASELINES)
    return RunningMean() if name == "running" else Critic(policy.feature_width)


class RunningMean(nn.Module):
    """The mean of the returns so far: at first an average, then an exponential moving one.

    Args:
        rate: weight of the newest batch, once this is more than its share in the average.
    """

    mean: Tensor
    updates: Tensor

    def __init__(self, rate: float = 0.05) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("updates", torch.zeros(()))
        self.returns: list[Tensor] = []  # since the last update

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Values ``[R, T]`` at the True positions of ``mask`` ``[R, T]``; ignores ``features``."""
        return self.mean * mask

    def loss(self, values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
        """Keep the ``returns`` ``[R, T]`` in ``mask`` for ``updated``; the loss ``[R]`` is 0."""
        self.returns.append(returns[mask])
        return returns.new_zeros(len(returns))

    def updated(self) -> None:
        """Update the mean, after an optimizer step."""
        returns = torch.cat(self.returns) if self.returns else torch.empty(0)
        self.returns.clear()
        if len(returns):
            self.updates += 1
            self.mean = self.mean.lerp(returns.mean(), max(self.rate, 1 / self.updates.item()))


class Critic(nn.Module):
    """A linear map of the policy's features, fitted by least squares (Ranzato et al. 2016).

    A running mean of the returns takes the place of the bias: it is accurate from the start, which
    a bias is not while the learning rate warms up. No gradient reaches the policy.

    Args:
        width: of the features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.running = RunningMean()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Values ``[R, T]`` in float32, from the features ``[N, D]`` at ``mask`` ``[R, T]``."""
        values = (features.detach().float() * self.weight).sum(-1)  # [N]
        return padded(values, mask) + self.running(features, mask)

    def loss(self, values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
        """Mean squared error of each episode ``[R]``."""
        error = (values - returns).square() * mask  # [R, T]
        return error.sum(1) / mask.sum(1).clamp(min=1) + self.running.loss(values, returns, mask)

    def updated(self) -> None:
        """Update the running mean, after an optimizer step."""
        self.running.updated()
