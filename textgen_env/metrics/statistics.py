"""95 % confidence intervals and significance tests. Scores are percentages, 0 to 100."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy

LEVEL = 0.95
RESAMPLES = 1000
BATCH = 100  # resamples in memory at once
Interval = tuple[float, float]


def wilson_interval(percent: float, count: int) -> Interval:
    """Wilson's score interval of a proportion, which never has width zero.

    Args:
        percent: Share of successes, 0 to 100.
        count: Number of trials.
    """
    test = scipy.stats.binomtest(round(percent / 100 * count), count)
    interval = test.proportion_ci(LEVEL, method="wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def bootstrap_interval(
    values: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Percentile bootstrap interval of the column means, resampling rows.

    Args:
        values: ``[N, K]``, one row per sentence.
        generator: Source of randomness.
        resamples: Number of resamples.

    Returns:
        ``[2, K]``: low and high ends.
    """
    result = _bootstrap((values,), np.mean, generator, resamples)
    return np.stack(result.confidence_interval)


def ratio_interval(
    rows: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Percentile bootstrap interval of Σ rows[:, 0] / Σ rows[:, 1], resampling rows.

    Args:
        rows: ``[N, 2]``, one row per sentence.
        generator: Source of randomness.
        resamples: Number of resamples.

    Returns:
        ``[2]``: low and high end.
    """
    if len(rows) < 2:
        return np.repeat(rows[:, 0] / rows[:, 1], 2)

    def ratio(numerator: np.ndarray, denominator: np.ndarray, axis: int) -> np.ndarray:
        return numerator.sum(axis) / denominator.sum(axis)

    result = _bootstrap((rows[:, 0], rows[:, 1]), ratio, generator, resamples)
    return np.stack(result.confidence_interval)


def paired_bootstrap_p_value(
    differences: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> float:
    """Two-sided p-value of the paired bootstrap test: is the mean of ``differences`` zero?

    The resampled means, shifted to mean zero, have the distribution of the null hypothesis. A
    single sentence is no evidence: p = 1.

    Args:
        differences: ``[N]``, one per sentence.
        generator: Source of randomness.
        resamples: Number of resamples.
    """
    if len(differences) < 2:
        return 1.0
    mean = differences.mean()
    means = _bootstrap((differences,), np.mean, generator, resamples).bootstrap_distribution
    return float((np.abs(means - mean) >= abs(mean)).sum() + 1) / (resamples + 1)


def _bootstrap(
    data: tuple[np.ndarray, ...],
    statistic: Callable[..., Any],
    generator: np.random.Generator,
    resamples: int,
) -> Any:
    """``scipy.stats.bootstrap`` over rows, which ``data`` share."""
    return scipy.stats.bootstrap(
        data,
        statistic,
        n_resamples=resamples,
        batch=BATCH,
        paired=len(data) > 1,
        confidence_level=LEVEL,
        method="percentile",
        rng=generator,
    )


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean of at least two independent values."""
    half = scipy.stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * scipy.stats.sem(values)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def score_interval(values: Sequence[float], over_sentences: Sequence[Interval]) -> Interval:
    """Interval of the mean score of several training runs, over seeds and over test sentences.

    The two sources of error are independent, so their half-widths add in quadrature, separately
    below and above the mean: the t interval over seeds, and the mean of the intervals over
    sentences. The runs share their test sentences, so the number of runs does not narrow the
    latter. With one seed, only the sentences count.

    Args:
        values: One score per seed.
        over_sentences: Interval of each score over the test sentences.

    Returns:
        Low and high end, clipped to [0, 100].
    """
    mean, (low, high) = float(np.mean(values)), np.mean(over_sentences, axis=0)
    seeds = mean_interval(values)[1] - mean if len(values) > 1 else 0.0
    ends = mean - np.hypot(seeds, mean - low), mean + np.hypot(seeds, high - mean)
    return float(max(ends[0], 0.0)), float(min(ends[1], 100.0))


def paired_p_value(differences: Sequence[float]) -> float:
    """Two-sided p-value of the paired t-test: is the mean of ``differences`` zero?

    If all differences are equal, the t statistic is undefined. The p-value is then that of the
    exact sign-flip permutation test, 2 / 2^n, or 1 if they are zero.

    Args:
        differences: One difference per seed.
    """
    if np.ptp(differences) == 0:
        return 1.0 if differences[0] == 0 else 2.0 ** (1 - len(differences))
    return float(scipy.stats.ttest_1samp(differences, 0.0).pvalue)
