"""Sequence-level interpolation: fine-tune on the hypothesis of the teacher's beam that is closest to the reference."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock
from agents.losses.loss import Loss
from agents.losses.sequence import checked_smoothing, clone
from textgen_env.types import Batch, Policy, select_positions


class SeqInter(Algorithm):
    """NLL on the hypothesis with the best sentence score, from a trained student on (Kim & Rush 2016, section 3.3).

    Args:
        cold_start: allow a student that was not trained before
        label_smoothing: probability mass spread evenly over the vocabulary, in [0, 1)
    """

    demonstrations = "best_of_beam"
    needs_start = True

    def __init__(
        self, policy: Policy, cold_start: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.policy, self.needs_start = policy, not cold_start
        self.label_smoothing = checked_smoothing(label_smoothing)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """NLL of the batch's own actions."""
        return clone(
            self.policy, batch, select_positions(batch.target, batch.mask_cpu), self.label_smoothing
        )


NAMES = {"seqinter": partial(SeqInter)}
