"""Behavioral cloning: maximum likelihood on the references' prefixes and actions."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock
from agents.losses.loss import Loss
from agents.losses.sequence import checked_smoothing, clone
from textgen_env.types import Batch, Policy, select_positions


class BC(Algorithm):
    """Clone the demonstrations: expert prefixes, expert actions, NLL (Pomerleau 1989; "vanilla" in Lin et al. 2020).

    On the teacher's beam outputs this is SeqKD (Kim & Rush 2016, section 3.2).

    Args:
        label_smoothing: probability mass spread evenly over the vocabulary, in [0, 1)
        demonstrations: whose sequences: references, teacher (its beam's best) or best_of_beam (best sentence score)
    """

    def __init__(
        self, policy: Policy, label_smoothing: float = 0.0, demonstrations: str = "references"
    ) -> None:
        super().__init__()
        self.policy, self.demonstrations = policy, demonstrations
        self.label_smoothing = checked_smoothing(label_smoothing)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """NLL of the batch's own actions."""
        return clone(
            self.policy, batch, select_positions(batch.target, batch.mask_cpu), self.label_smoothing
        )


NAMES = {"bc": partial(BC), "mle": partial(BC), "seqkd": partial(BC, demonstrations="teacher")}
