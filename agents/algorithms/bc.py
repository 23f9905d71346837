"""Behavioural cloning: maximum likelihood on the references' prefixes and actions."""

from __future__ import annotations

from functools import partial

from agents.algorithms import Algorithm, LossOutput
from agents.losses import nll
from agents.policy import Policy
from textgen_env.types import Batch


class BC(Algorithm):
    """Clone the demonstrations: expert prefixes, expert actions, NLL (Pomerleau 1989; "vanilla" in Lin et al. 2020).

    Args:
        label_smoothing: probability mass spread evenly over the vocabulary, in [0, 1).
    """

    def __init__(self, policy: Policy, label_smoothing: float = 0.0) -> None:
        self.policy = policy
        self.label_smoothing = label_smoothing

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        mask = batch.mask  # [B, T]
        logits = self.policy(batch.source, batch.prefix, mask)  # [N, V]
        return LossOutput(nll(logits, batch.target[mask], self.label_smoothing), tokens=len(logits))


NAMES = {"bc": partial(BC)}
