"""Word-level knowledge distillation (Kim & Rush 2016, section 3.1)."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock
from agents.losses.loss import Loss
from agents.losses.sequence import checked_nll, checked_tail, cross_entropy, distill, with_nll
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class WordKD(Algorithm):
    """Learn the teacher's distributions on the data's prefixes.

    L = -Σ_t Σ_v p(v | y_<t, x) log π(v | y_<t, x), where p is the teacher and y the demonstration
    (Kim & Rush 2016, section 3.1; "vanilla + full" in Lin et al. 2020). With ``nll`` it is their
    mixture (1 - α) L_NLL + α L.

    Args:
        demonstrations: targets: references, teacher (its beam output) or best_of_beam (best score)
        label_top_k: keep the teacher's k most likely tokens; 0: all
        tail: the teacher's other tokens: drop (renormalize the k) or bucket (one outcome for all)
        nll: 1 - α, the share of the NLL of the data's targets in the loss, in [0, 1)
    """

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        demonstrations: str = "references",
        label_top_k: int = 0,
        tail: str = "drop",
        nll: float = 0.0,
    ) -> None:
        super().__init__()
        check_range("label_top_k", label_top_k, Range(0, policy.vocabulary_size))
        self.policy, self.oracle = policy, oracle
        self.demonstrations, self.label_top_k = demonstrations, label_top_k
        self.tail, self.nll = checked_tail(tail), checked_nll(nll)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """Cross-entropy at every position; the metric ``kl`` is KL(p ‖ π)."""
        top_k = self.label_top_k, self.tail
        loss = distill(self.policy, self.oracle, batch, cross_entropy, *top_k)
        return with_nll(loss, self.policy, batch, self.nll)


NAMES = {"word_kd": partial(WordKD), "seqkd_full": partial(WordKD, demonstrations="teacher")}
