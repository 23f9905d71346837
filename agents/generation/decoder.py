"""A policy together with how it generates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.generation.beam import beam_search
from agents.generation.decoding import greedy, sample
from agents.generation.rollout import eval_mode
from agents.precision import precision
from textgen_env.errors import Range, UserError, check_range
from textgen_env.randomness import uniform
from textgen_env.types import Policy, Trajectories

Decode = Callable[[Tensor, int | Tensor], Trajectories]  # source [B, S], limit: one number or [B]


@dataclass(frozen=True)
class Decoder:
    """Generates ``count`` outputs per source, without gradient or dropout.

    Decodes greedily with a beam of 1, else by beam search; with ``samples`` it samples.

    Args:
        policy: The policy that generates.
        beam: Beam width; 1 decodes greedily.
        precision: "float32" or "bf16".
        device: Torch device.
        length_penalty: As in ``beam_search``.
        keep: Hypotheses of the beam to return per source.
        samples: Outputs to sample per source; 0: no sampling.
        top_k: Sample from this many most likely tokens; 0: all.
        seed: Seed of the samples.
        scored: Whether greedy outputs have scores.

    Raises:
        UserError: A setting is out of range, or both a beam and samples are set.
    """

    policy: Policy
    beam: int
    precision: str
    device: str
    length_penalty: float = 1.0
    keep: int = 1
    samples: int = 0
    top_k: int = 0
    seed: int = 0
    scored: bool = False

    def __post_init__(self) -> None:
        check_range("beam", self.beam, Range(1, self.policy.vocabulary_size))
        if not 1 <= self.keep <= self.beam:
            raise UserError(f"keep={self.keep}: beam={self.beam} has {self.beam}; raise beam=")
        if self.samples and self.beam > 1:
            raise UserError(f"beam={self.beam} samples={self.samples}: give one of them")

    @property
    def count(self) -> int:
        """Outputs per source."""
        return self.samples or self.keep

    def __call__(
        self, source: Tensor, limit: int | Tensor, row: Tensor | None = None
    ) -> Trajectories:
        """Generate at most ``limit`` tokens for each row of ``source`` ``[B, S]``.

        Args:
            source: ``[B, S]``.
            limit: Maximum length of each output: one number, or ``[B]``.
            row: ``[B]``, an index of each source; its samples depend on it and on the seed.
                Default: 0 … B-1.

        Returns:
            B·count rows, ``count`` per source; best first for a beam.
        """
        source = source.to(self.device)
        with eval_mode(self.policy), precision(self.precision, self.device):
            if self.samples:
                return self._sample(source, limit, row)
            if self.beam == 1:
                return greedy(self.policy, source, limit, scored=self.scored)
            settings = self.beam, self.length_penalty, self.keep
            return beam_search(self.policy, source, limit, *settings)

    def _sample(self, source: Tensor, limit: int | Tensor, row: Tensor | None) -> Trajectories:
        row = torch.arange(len(source)) if row is None else row
        limit = torch.as_tensor(limit).expand(len(source)).repeat_interleave(self.samples)
        source = source.repeat_interleave(self.samples, 0)
        steps = int(limit.max()) if len(limit) else 0
        noise = uniform((self.seed,), "generate", row, self.samples, steps)  # [B, samples, T]
        return sample(self.policy, source, limit, noise.flatten(0, 1), self.top_k)
