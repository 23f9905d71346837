"""Generalized knowledge distillation (Agarwal et al. 2024)."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock
from agents.generation.roll_in import with_rollouts
from agents.losses.divergences import make_divergence
from agents.losses.loss import Loss
from agents.losses.sequence import distillation_loss
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class GKD(Algorithm):
    """Minimize a divergence from the oracle on data and samples.

    L = (1 - λ) E_data[D(p ‖ π)(y | x)] + λ E_{y ~ π}[D(p ‖ π)(y | x)] for oracle p and student π,
    where D is averaged over the positions of y (Agarwal et al. 2024, "On-policy distillation of
    language models", Algorithm 1). No gradient flows through sampling. The paper draws one coin
    per mini-batch; here each sequence gets its own, which has the same mean and less variance.
    The generalized JSD is divided by β(1 - β), which makes it continuous at β = 0 and 1.

    Args:
        student_fraction: λ, the fraction of sequences sampled from the student; 1: all of them
        divergence: forward_kl, reverse_kl, jsd or total_variation
        beta: β of the generalized JSD, from 0 (forward KL) to 1 (reverse KL)
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
        self.student_fraction = student_fraction
        self.divergence = make_divergence(divergence, beta)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The divergence at every position of the mixed batch."""
        on_policy = clock.uniform("coin", batch.row) < self.student_fraction  # [B]
        noise = clock.uniform("roll-in", batch.row, int(batch.limit.max()))  # [B, T]
        batch = with_rollouts(batch, on_policy, self.policy, noise)
        loss = distillation_loss(self.policy, self.oracle, batch, self.divergence)
        loss.metrics = {**loss.metrics, "on_policy": on_policy.float().mean()}
        return loss


NAMES = {"gkd": partial(GKD)}
