"""Means by position over a stream of sentences, with bootstrap intervals."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

# A position is reported if enough sentences reach it: at least this many, and this share of all.
MIN_SENTENCES, MIN_SHARE = 10, 0.02


class PositionMeans:
    """Means by position and their bootstrap over sentences.

    The memory, ``[1 + R, T]`` per metric, does not depend on the number of sentences. Row 0 is the
    data itself; the other R rows are resamples of it.
    """

    def __init__(self, positions: int, resamples: int) -> None:
        self.count = np.zeros((1 + resamples, positions))
        self.sums: dict[str, np.ndarray] = {}

    def add(self, weights: np.ndarray, values: Mapping[str, Tensor], mask: Tensor) -> None:
        """Add a batch of sentences.

        Args:
            weights: ``[B, 1 + R]``, how often each sentence is in the data and in each resample.
            values: metrics, ``[B, T']`` each.
            mask: bool ``[B, T']``, the positions that exist.
        """
        valid, width = mask.cpu().numpy(), mask.shape[1]
        self.count[:, :width] += weights.T @ valid
        for name, value in values.items():
            total = self.sums.setdefault(name, np.zeros_like(self.count))
            total[:, :width] += weights.T @ np.where(valid, value.cpu().numpy(), 0.0)

    @property
    def reached(self) -> int:
        """The number of positions that enough sentences reach."""
        return int((self.count[0] >= max(MIN_SENTENCES, MIN_SHARE * self.count[0, 0])).sum())

    def curve(self, name: str) -> np.ndarray:
        """The mean of a metric at every reached position, ``[1 + R, reached]``."""
        with np.errstate(invalid="ignore"):  # a resample may have no sentence this long
            return self.sums[name][:, : self.reached] / self.count[:, : self.reached]


def bootstrap_weights(rngs: Sequence[np.random.Generator], resamples: int) -> np.ndarray:
    """How often each sentence is in the data and in each resample: once, and Poisson(1) times.

    The Poisson bootstrap (Chamandy et al. 2012) is the limit of the bootstrap for a stream of
    sentences. Each sentence has its own generator, so its weights do not depend on the batching.

    Args:
        rngs: B generators, one per sentence.
        resamples: R.

    Returns:
        Weights ``[B, 1 + R]``.
    """
    return np.stack([[1, *rng.poisson(1.0, resamples)] for rng in rngs])


def interval(samples: np.ndarray) -> dict[str, Any]:
    """The value and its 95 % percentile interval, ready for JSON.

    Args:
        samples: ``[1 + R, …]``, the value in row 0 and in each resample.

    Returns:
        ``{"value", "low", "high"}``, with None for NaN.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all resamples may be NaN
        values = np.stack([samples[0], *np.nanpercentile(samples[1:], (2.5, 97.5), axis=0)])
    result: Any = values.astype(object)
    result[~np.isfinite(values)] = None
    return dict(zip(("value", "low", "high"), result.tolist(), strict=True))
