"""A policy together with its search settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from agents.generation.beam import beam_search
from agents.generation.decoding import greedy
from agents.generation.rollout import eval_mode
from agents.precision import precision
from textgen_env.errors import Range, check_range
from textgen_env.types import Policy, Trajectories

Decode = Callable[[Tensor, int | Tensor], Trajectories]  # source [B, S], limit: one number or [B]


@dataclass(frozen=True)
class Decoder:
    """Decodes greedily with a beam ``width`` of 1, else by beam search; no gradient, no dropout.

    Args:
        policy: The policy that generates.
        width: Beam width.
        precision: "float32" or "bf16".
        device: Torch device.
        length_penalty: As in ``beam_search``.
        keep: Hypotheses per source, as in ``beam_search``.

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
        with eval_mode(self.policy), precision(self.precision, self.device):
            if self.width == 1:
                return greedy(self.policy, source, limit, scored=False)
            settings = self.width, self.length_penalty, self.keep
            return beam_search(self.policy, source, limit, *settings)
