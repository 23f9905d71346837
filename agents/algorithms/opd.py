"""On-policy distillation (Lu and Thinking Machines Lab 2025) with a discount."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.episodes import reverse_kl_loss
from agents.estimators.returns import padded, rewards_to_go
from agents.generation.roll_in import with_rollouts
from textgen_env.errors import Range, check_range, unknown
from textgen_env.types import Batch, Oracle, Policy, select_positions

EXPECTATIONS = ("full", "sampled")


class OPD(Algorithm):
    """Minimize the reverse KL on the student's own samples, with discounted returns.

    The reward of a token is r_t = log p(y_t) - log q(y_t), for oracle p and student q:

        ∇L = -E_{y ~ q} Σ_t (∇ E_{y_t ~ q}[r_t] + Σ_{k ≥ 1} γ^k r_{t+k} ∇ log q(y_t))

    The first term is computed exactly over the vocabulary (expectation=full), or estimated by
    r_t ∇ log q(y_t), which uses the per-token reverse KL as the advantage (expectation=sampled; Lu
    and Thinking Machines Lab 2025, "On-policy distillation").

    γ = 0 is GKD with reverse KL and student_fraction=1, without PAD and BOS. γ = 1 is MiniLLM
    without its teacher mixing and length normalization: the gradient of the sequence-level KL.

    Args:
        discount: γ, from 0 (a token answers for itself) to 1 (for all that follows it)
        expectation: full (the first term is exact) or sampled (only the sampled token counts)
        cold_start: allow a student that has not been trained
    """

    uses_targets = False
    needs_start = True
    oracle: Oracle

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        discount: float = 0.0,
        expectation: str = "full",
        cold_start: bool = False,
    ) -> None:
        super().__init__()
        check_range("discount", discount, Range(0, 1))
        if expectation not in EXPECTATIONS:
            raise unknown("expectation", expectation, EXPECTATIONS)
        self.policy, self.oracle, self.discount = policy, oracle, discount
        self.expectation, self.needs_start = expectation, not cold_start

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """A loss whose gradient is ∇L, on samples of the student."""
        every = torch.ones_like(batch.length, dtype=torch.bool)
        noise = clock.uniform("roll-in", batch.row, int(batch.limit.max()))  # [B, T]
        return self.reverse_kl(with_rollouts(batch, every, self.policy, noise))

    def reverse_kl(self, batch: Batch) -> Loss:
        """A loss whose gradient is ∇L, on a batch whose targets are samples of the student."""
        return reverse_kl_loss(self.policy, self.oracle, batch, self.losses)

    def losses(self, kl: Tensor, log_q: Tensor, log_p: Tensor, batch: Batch) -> Tensor:
        """The losses ``[N]``; see ``ReverseKLLosses``."""
        reward = log_p - log_q.detach()  # [N], r_t
        to_go = rewards_to_go(padded(reward, batch.mask), self.discount)  # [B, T]
        to_go = select_positions(to_go, batch.mask_cpu)  # [N]
        full = self.expectation == "full"
        return kl - (to_go - reward) * log_q if full else -to_go * log_q  # kl is -E[r_t]


NAMES = {"opd": partial(OPD)}
