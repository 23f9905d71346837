"""A policy with the settings of its search: one object that generates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from agents.generation.beam import beam
from agents.generation.decoding import greedy
from agents.generation.rollout import acting
from agents.precision import precision
from textgen_env.errors import Range, check_range
from textgen_env.types import Policy, Trajectories

Decode = Callable[[Tensor, int | Tensor], Trajectories]  # source [B, S], limit: one number or [B]


@dataclass(frozen=True)
class Decoder:
    """Decodes greedily for a beam ``width`` of 1, else by beam search; no gradient, no dropout.

    Args:
        policy: Generates.
        width: Beam width.
        precision: "float32" or "bf16".
        device: Torch device.
        length_penalty: As in ``beam``.
        keep: Hypotheses per source, as in ``beam``.

    Raises:
        UserError: The beam is wider than the vocabulary.
    """

    policy: Policy
    width: int
    precision: str
    device: str
    length_penalty: float = 1.0
    keep: int = 1

    def __post_init__(self) -> None:
        check_range("beam", self.width, Range(1, self.policy.vocabulary_size))

    def __call__(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """Generate at most ``limit`` tokens for each row of ``source`` ``[B, S]``."""
        source = source.to(self.device)
        with acting(self.policy), precision(self.precision, self.device):
            if self.width == 1:
                return greedy(self.policy, source, limit, scored=False)
            return beam(self.policy, source, limit, self.width, self.length_penalty, self.keep)
