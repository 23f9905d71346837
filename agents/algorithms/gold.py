"""GOLD (Pang & He 2021, "Text generation by learning from demonstrations")."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from agents.algorithms.base import Algorithm, Clock
from agents.estimators.episodes import log_probs_of
from agents.generation.rollout import frozen_copy
from agents.losses.loss import Loss
from textgen_env.errors import Range, check_range, unknown
from textgen_env.types import Batch, Policy

CREDITS = ("delta", "product", "sum")


class Gold(Algorithm):
    """Off-policy policy gradient on demonstrations alone.

    ∇J ≈ E[Σ_t max(u, π(a_t | s_t)) Q̂_t ∇log π(a_t | s_t)] over demonstrations (Pang & He 2021,
    Algorithm 1); nothing is generated. The first factor, without gradient, approximates the
    importance weight of the whole prefix. (The paper computes it with a copy of the policy that
    lags behind.) Q̂_t = Σ_{k=0}^{window} γ^k r_{t+k}, where after the end π₀ counts as 1.

    Not related to the trainer of that name in TRL.

    Args:
        credit: delta (Q̂ = 1), product (GOLD-p: r = log π₀ - log_floor) or sum (GOLD-s: r = π₀)
        weight_floor: u, the smallest importance weight
        floor: the smallest r
        log_floor: with credit=product, the log-probability whose reward is 0
        window: number of later actions whose rewards count
        discount: γ, the discount per later action
        cold_start: allow a student that has not been trained
    """

    needs_start = True

    def __init__(
        self,
        policy: Policy,
        credit: str = "delta",
        weight_floor: float = 0.2,
        floor: float = 0.1,
        log_floor: float = -10.0,
        window: int = 5,
        discount: float = 0.5,
        cold_start: bool = False,
    ) -> None:
        super().__init__()
        if credit not in CREDITS:
            raise unknown("credit", credit, CREDITS)
        check_range("weight_floor", weight_floor, Range(0, 1))
        check_range("window", window, Range(0, 16_384))
        check_range("floor", floor, Range(0, 10**6))
        check_range("log_floor", log_floor, Range(-(10**6), 0, "most"))
        check_range("discount", discount, Range(0, 1))
        self.policy, self.credit, self.weight_floor = policy, credit, weight_floor
        self.floor, self.log_floor, self.window, self.discount = floor, log_floor, window, discount
        self.needs_start = not cold_start
        self.initial_policy = None if credit == "delta" else frozen_copy(policy)  # π₀

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """A weighted NLL, whose gradient is -∇J."""
        log_probs, _ = log_probs_of(self.policy, batch)  # [B, T], 0 after the end
        weight = log_probs.detach().exp().clamp(min=self.weight_floor)
        loss = -(weight * self.values(batch) * log_probs).sum()
        metrics = {
            "weight": weight[batch.mask].mean(),
            "nll": -log_probs.detach().sum() / batch.tokens,
        }
        return Loss(loss, batch.tokens, metrics)

    def values(self, batch: Batch) -> Tensor:
        """Q̂ of every action, ``[B, T]``."""
        if self.initial_policy is None:
            return torch.ones(batch.target.shape, device=batch.target.device)
        with torch.no_grad():
            log_probs, _ = log_probs_of(self.initial_policy, batch)  # [B, T]
        log_probs = pad(log_probs, (0, self.window))  # [B, T + window]
        product = self.credit == "product"
        reward = log_probs - self.log_floor if product else log_probs.exp()
        reward = reward.clamp(min=self.floor)
        discount = self.discount ** torch.arange(self.window + 1, device=reward.device)
        windows = reward.unfold(1, self.window + 1, 1)  # [B, T, window + 1]
        return (windows * discount).sum(-1)


NAMES = {
    "gold": partial(Gold, credit="delta"),
    "gold_p": partial(Gold, credit="product"),
    "gold_s": partial(Gold, credit="sum"),
}
