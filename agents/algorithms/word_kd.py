"""Word-level knowledge distillation (Kim & Rush 2016, section 3.1)."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock
from agents.losses.loss import Loss
from agents.losses.sequence import cross_entropy, distillation_loss
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class WordKD(Algorithm):
    """Learn the teacher's distributions on the data's prefixes.

    L = -Σ_t Σ_v p(v | y_<t, x) log π(v | y_<t, x), where p is the teacher and y the demonstration
    (Kim & Rush 2016, section 3.1; "vanilla + full" in Lin et al. 2020).

    Args:
        demonstrations: targets: references, teacher (its beam output) or best_of_beam (best score)
        label_top_k: keep the teacher's k most likely tokens, renormalized; 0: all
    """

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        demonstrations: str = "references",
        label_top_k: int = 0,
    ) -> None:
        super().__init__()
        check_range("label_top_k", label_top_k, Range(0, policy.vocabulary_size))
        self.policy, self.oracle = policy, oracle
        self.demonstrations, self.label_top_k = demonstrations, label_top_k

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """Cross-entropy at every position; the metric ``kl`` is KL(p ‖ π)."""
        return distillation_loss(self.policy, self.oracle, batch, cross_entropy, self.label_top_k)


NAMES = {"word_kd": partial(WordKD), "seqkd_full": partial(WordKD, demonstrations="teacher")}
