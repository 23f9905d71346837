"""How to generate from a source: greedily, by beam search, or by sampling."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from agents.generation.beam import beam_search
from agents.generation.decoding import greedy, sample
from textgen_env.errors import UserError
from textgen_env.randomness import uniform
from textgen_env.types import Stepper, Trajectories


@dataclass(frozen=True)
class Search:
    """Settings of a search, which generates ``count`` outputs per source.

    Args:
        beam: Beam width; 1 decodes greedily.
        length_penalty: As in ``beam_search``.
        keep: Hypotheses of the beam to return per source.
        samples: Outputs to sample per source; 0: no sampling.
        top_k: Sample from this many most likely tokens; 0: all.
        seed: Seed of the samples.

    Raises:
        UserError: A setting is out of range, or both a beam and samples are set.
    """

    beam: int = 1
    length_penalty: float = 1.0
    keep: int = 1
    samples: int = 0
    top_k: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.keep <= self.beam:
            raise UserError(f"keep={self.keep}: beam={self.beam} has {self.beam}; raise beam=")
        if self.samples and self.beam > 1:
            raise UserError(f"beam={self.beam} samples={self.samples}: give one of them")

    @property
    def count(self) -> int:
        """Outputs per source."""
        return self.samples or self.keep

    def __call__(self, policy: Stepper, source: Tensor, limit: Tensor, row: Tensor) -> Trajectories:
        """Generate for each row of ``source`` ``[B, S]``.

        Args:
            policy: The policy that generates.
            source: ``[B, S]``.
            limit: ``[B]``, maximum length of each output.
            row: ``[B]``, an index of each source; its samples depend on it and on the seed.

        Returns:
            B·count rows with scores, ``count`` per source; best first for a beam.
        """
        if not self.samples:
            if self.beam == 1:
                return greedy(policy, source, limit)
            return beam_search(policy, source, limit, self.beam, self.length_penalty, self.keep)
        source, limit = (x.repeat_interleave(self.samples, 0) for x in (source, limit))
        steps = int(limit.max()) if len(limit) else 0
        noise = uniform((self.seed,), "generate", row, self.samples, steps)  # [B, samples, T]
        return sample(policy, source, limit, noise.flatten(0, 1), self.top_k)
