"""Generalized knowledge distillation (Agarwal et al. 2024, "On-policy distillation of language models", Algorithm 1)."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock
from agents.generation.roll_in import with_rollouts
from agents.losses.divergences import divergence as named
from agents.losses.loss import Loss
from agents.losses.sequence import distill
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class GKD(Algorithm):
    """Any divergence from the oracle, on the student's samples and on the data in a fixed proportion.

    No gradient flows through the sampling. The paper tosses one coin a mini-batch, here it is one a sequence: the same
    proportion with less variance.

    Args:
        student_fraction: λ, the share of sequences that the student samples; 0 is supervised, 1 on-policy distillation
        divergence: forward_kl, reverse_kl, jsd or total_variation
        beta: β of the generalized JSD, from 0 (forward KL) to 1 (reverse KL); scaled so that it is continuous there
    """

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        student_fraction: float = 0.5,
        divergence: str = "jsd",
        beta: float = 0.5,
    ) -> None:
        super().__init__()
        check_range("student_fraction", student_fraction, Range(0, 1))
        self.policy, self.oracle = policy, oracle
        self.student_fraction, self.divergence = student_fraction, named(divergence, beta)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The divergence at every position of the mixed batch."""
        on_policy = clock.uniform("coin", batch.row) < self.student_fraction  # [B]
        noise = clock.uniform("roll-in", batch.row, int(batch.limit.max()))  # [B, T]
        batch = with_rollouts(batch, on_policy, self.policy, noise)
        loss = distill(self.policy, self.oracle, batch, self.divergence)
        loss.metrics = {**loss.metrics, "on_policy": on_policy.float().mean()}
        return loss


NAMES = {"gkd": partial(GKD)}
