"""Behavioral cloning (Pomerleau 1989) and sequence-level knowledge distillation."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock
from agents.losses.loss import Loss
from agents.losses.sequence import checked_smoothing, clone
from textgen_env.types import Batch, Policy, select_positions


class BC(Algorithm):
    """Maximize the likelihood of the demonstrations.

    L = -Σ_t log π(y_t | y_<t, x) over demonstrations (x, y): behavioral cloning (Pomerleau 1989),
    "vanilla" in Lin et al. 2020. With the teacher's beam outputs as demonstrations it is SeqKD
    (Kim & Rush 2016, section 3.2).

    Args:
        label_smoothing: probability mass spread evenly over the vocabulary, in [0, 1)
        demonstrations: targets: references, teacher (its beam output) or best_of_beam (best score)
    """

    def __init__(
        self, policy: Policy, label_smoothing: float = 0.0, demonstrations: str = "references"
    ) -> None:
        super().__init__()
        self.policy, self.demonstrations = policy, demonstrations
        self.label_smoothing = checked_smoothing(label_smoothing)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """NLL of the batch's target tokens."""
        action = select_positions(batch.target, batch.mask_cpu)  # [N]
        return clone(self.policy, batch, action, self.label_smoothing)


NAMES = {"bc": partial(BC), "mle": partial(BC), "seqkd": partial(BC, demonstrations="teacher")}
