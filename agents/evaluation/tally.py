"""Means by position over any number of sentences, with a bootstrap that keeps no sentence."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

LEAST, SHARE = (
    10,
    0.02,
)  # a position that fewer sentences, or a smaller share of them, reach is not reported


class Tally:
    """Means by position and their bootstrap over sentences, in memory ``[1 + R, T]`` however many sentences are added.

    Row 0 is the data itself, the R others resamples of it: how often a sentence is in them is in the weights given.
    """

    def __init__(self, positions: int, resamples: int) -> None:
        self.count = np.zeros((1 + resamples, positions))
        self.sums: dict[str, np.ndarray] = {}

    def add(self, weights: np.ndarray, values: Mapping[str, Tensor], mask: Tensor) -> None:
        """Sentences: weights ``[B, 1 + R]``, any number of metrics ``[B, T']`` and where they hold, bool ``[B, T']``."""
        inside, width = mask.cpu().numpy(), mask.shape[1]
        self.count[:, :width] += weights.T @ inside
        for name, value in values.items():
            total = self.sums.setdefault(name, np.zeros_like(self.count))
            total[:, :width] += weights.T @ np.where(inside, value.cpu().numpy(), 0.0)

    @property
    def reached(self) -> int:
        """How many positions enough sentences reach."""
        return int((self.count[0] >= max(LEAST, SHARE * self.count[0, 0])).sum())

    def curve(self, name: str) -> np.ndarray:
        """Mean of a metric at every reached position, ``[1 + R, reached]``."""
        with np.errstate(invalid="ignore"):  # a resample may lack every sentence that is so long
            return self.sums[name][:, : self.reached] / self.count[:, : self.reached]


def weigh(draws: Sequence[np.random.Generator], resamples: int) -> np.ndarray:
    """How often each sentence is in the data and in each resample, ``[B, 1 + R]``: once, and Poisson(1) times.

    The Poisson bootstrap (Chamandy et al. 2012) is what a bootstrap becomes when sentences pass one by one; a sentence's own
    generator makes its weights the same whatever it is batched with.
    """
    return np.stack([[1, *rng.poisson(1.0, resamples)] for rng in draws])


def band(samples: np.ndarray) -> dict[str, Any]:
    """``{"value", "low", "high"}``: row 0 of ``[1 + R, …]`` and the others' 95 % percentile interval; None for no number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no resample may have a number
        values = np.stack([samples[0], *np.nanpercentile(samples[1:], (2.5, 97.5), axis=0)])
    known: Any = values.astype(object)
    known[~np.isfinite(values)] = None
    return dict(zip(("value", "low", "high"), known.tolist(), strict=True))
