"""Sequence-level interpolation: fine-tune on that hypothesis of the teacher's beam which is closest to the reference."""

from __future__ import annotations

from functools import partial

from agents.algorithms import Algorithm, LossOutput
from agents.losses.sequence import checked_smoothing, cloning
from textgen_env.types import Batch, Policy, picked


class SeqInter(Algorithm):
    """NLL on the hypothesis with the best sentence score, from a trained student on (Kim & Rush 2016, section 3.3).

    Args:
        cold_start: begin without a trained student (init=RUN) all the same
        label_smoothing: probability mass spread evenly over the vocabulary, in [0, 1)
    """

    demonstrations = "best_of_beam"
    needs_start = True

    def __init__(self, policy: Policy, cold_start: bool = False, label_smoothing: float = 0.0) -> None:
        self.policy, self.needs_start = policy, not cold_start
        self.label_smoothing = checked_smoothing(label_smoothing)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """NLL of the batch's own actions."""
        action = picked(batch.target, batch.actual)  # [N]
        loss = cloning(self.policy, batch, action, self.label_smoothing)
        return LossOutput(loss, tokens=len(action))


NAMES = {"seqinter": partial(SeqInter)}
