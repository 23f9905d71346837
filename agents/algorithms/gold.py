"""GOLD: policy gradient on demonstrations alone. Not TRL's trainer of that name."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from agents.algorithms.base import Algorithm, Clock
from agents.estimators.episodes import log_probs_of
from agents.generation.rollout import frozen
from agents.losses.loss import Loss
from textgen_env.errors import Range, check_range, unknown
from textgen_env.types import Batch, Policy

CREDITS = ("delta", "product", "sum")


class Gold(Algorithm):
    """∇J ≈ E_demonstrations[Σ_t max(u, π(a_t | s_t)) Q̂_t ∇log π(a_t | s_t)] (Pang & He 2021, Algorithm 1): nothing is decoded.

    π(a_t | s_t) without gradient stands for the importance weight of the whole prefix. (Theirs is of a copy of the policy
    that lags behind.) A demonstration's action earns r_t, and Q̂_t = Σ_{k=0}^{window} γ^k r_{t+k}; after the end π₀ is 1.

    Args:
        credit: delta: Q̂_t is 1; product (GOLD-p): r_t is log π₀(a_t | s_t) - log_floor, at least floor, with π₀ the starting
            policy; sum (GOLD-s): r_t is π₀(a_t | s_t), at least floor.
        weight_floor: u, the smallest importance weight.
        floor: the smallest r_t.
        log_floor: the log-probability that earns nothing, of product.
        window: later actions that an action gets credit for.
        discount: γ, what each step of distance leaves of that credit.
        cold_start: allow a student that was not trained before.
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
        self.policy, self.credit, self.weight_floor, self.needs_start = (
            policy,
            credit,
            weight_floor,
            not cold_start,
        )
        self.floor, self.log_floor, self.window, self.discount = floor, log_floor, window, discount
        self.start = None if credit == "delta" else frozen(policy)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The weighted NLL, whose gradient is minus the one above."""
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
        if self.start is None:
            return torch.ones(batch.target.shape, device=batch.target.device)
        with torch.no_grad():
            log_probs = pad(log_probs_of(self.start, batch)[0], (0, self.window))  # [B, T + window]
        reward = (
            log_probs - self.log_floor if self.credit == "product" else log_probs.exp()
        ).clamp(min=self.floor)
        discount = self.discount ** torch.arange(self.window + 1, device=reward.device)
        return (reward.unfold(1, self.window + 1, 1) * discount).sum(
            -1
        )  # unfold: [B, T, window + 1]


NAMES = {
    "gold": partial(Gold, credit="delta"),
    "gold_p": partial(Gold, credit="product"),
    "gold_s": partial(Gold, credit="sum"),
}
