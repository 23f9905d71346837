"""Word-level knowledge distillation: the data's prefixes, the teacher's distributions."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock
from agents.losses.loss import Loss
from agents.losses.sequence import cross_entropy, distill
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class WordKD(Algorithm):
    """Cross-entropy to the teacher at the data's prefixes (Kim & Rush 2016, section 3.1; "vanilla + full" in Lin et al. 2020).

    Args:
        demonstrations: whose sequences: references, teacher (its beam's best) or best_of_beam (best sentence score)
        label_top_k: the teacher's distribution is cut to its k most probable tokens, renormalized; 0: whole
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
        """Cross-entropy at every position of ``batch``; its excess over the teacher's entropy is logged as ``kl``."""
        return distill(self.policy, self.oracle, batch, cross_entropy, self.label_top_k)


NAMES = {"word_kd": partial(WordKD), "seqkd_full": partial(WordKD, demonstrations="teacher")}
