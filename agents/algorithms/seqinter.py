"""Sequence-level interpolation (Kim & Rush 2016, section 3.3)."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock
from agents.losses.loss import Loss
from agents.losses.sequence import checked_smoothing, clone
from textgen_env.types import Batch, Policy, select_positions


class SeqInter(Algorithm):
    """Fine-tune on the beam hypothesis closest to the reference.

    L = -Σ_t log π(ỹ_t | ỹ_<t, x), where ỹ is the hypothesis in the teacher's beam with the best
    sentence score against the reference (Kim & Rush 2016, section 3.3). As in the paper, it starts
    from a trained student.

    Args:
        cold_start: allow a student that has not been trained
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
        """NLL of the batch's target tokens."""
        action = select_positions(batch.target, batch.mask_cpu)  # [N]
        return clone(self.policy, batch, action, self.label_smoothing)


NAMES = {"seqinter": partial(SeqInter)}
