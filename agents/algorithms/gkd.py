"""Generalized knowledge distillation (Agarwal et al. 2024)."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock
from agents.generation.roll_in import with_rollouts
from agents.losses.divergences import make_divergence
from agents.losses.loss import Loss
from agents.losses.sequence import checked_nll, checked_tail, distillation_loss, with_nll
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class GKD(Algorithm):
    """Minimize a divergence from the oracle on data and samples.

    L = (1 - λ) E_data[D(p ‖ π)(y | x)] + λ E_{y ~ π}[D(p ‖ π)(y | x)] for oracle p and student π,
    where D is averaged over the positions of y (Agarwal et al. 2024, "On-policy distillation of
    language models", Algorithm 1). No gradient flows through sampling. The paper draws one coin
    per mini-batch; here each sequence gets its own, which has the same mean and less variance.
    The generalized JSD is divided by β(1 - β), which makes it continuous at β = 0 and 1; TRL's is
    not, so at β = ½ its loss is a quarter of ours.

    Args:
        student_fraction: λ, the fraction of sequences sampled from the student; 1: all of them
        divergence: forward_kl, reverse_kl, jsd or total_variation
        beta: β of the generalized JSD, from 0 (forward KL) to 1 (reverse KL)
        label_top_k: keep the oracle's k most likely tokens; 0: all
        tail: the oracle's other tokens: drop (renormalize the k) or bucket (one outcome for all)
        nll: share of the NLL of the data's targets in the loss, in [0, 1)
    """

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        student_fraction: float = 0.5,
        divergence: str = "jsd",
        beta: float = 0.5,
        label_top_k: int = 0,
        tail: str = "drop",
        nll: float = 0.0,
    ) -> None:
        super().__init__()
        check_range("student_fraction", student_fraction, Range(0, 1))
        check_range("label_top_k", label_top_k, Range(0, policy.vocabulary_size))
        self.policy, self.oracle = policy, oracle
        self.student_fraction = student_fraction
        self.uses_targets = student_fraction < 1 or nll > 0
        self.label_top_k, self.tail, self.nll = label_top_k, checked_tail(tail), checked_nll(nll)
        self.divergence = make_divergence(divergence, beta)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The divergence at every position of the mixed batch."""
        on_policy = clock.uniform("coin", batch.row) < self.student_fraction  # [B]
        noise = clock.uniform("roll-in", batch.row, int(batch.limit.max()))  # [B, T]
        mixed = with_rollouts(batch, on_policy, self.policy, noise)
        top_k = self.label_top_k, self.tail
        loss = distillation_loss(self.policy, self.oracle, mixed, self.divergence, *top_k)
        loss.metrics = {**loss.metrics, "on_policy": on_policy.float().mean()}
        return with_nll(loss, self.policy, batch, self.nll)


NAMES = {"gkd": partial(GKD)}
