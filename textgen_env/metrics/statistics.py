"""95 % confidence intervals and a test over seeds. Scores are percentages, 0 to 100."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 1000
Interval = tuple[float, float]


def wilson_interval(percent: float, count: int) -> Interval:
    """Wilson's score interval of a proportion: inside [0, 100], and never of width zero.

    Args:
        percent: The share of successes, 0 to 100.
        count: The number of trials.
    """
    interval = stats.binomtest(round(percent / 100 * count), count).proportion_ci(
        LEVEL, method="wilson"
    )
    return 100 * float(interval.low), 100 * float(interval.high)


def bootstrap_interval(
    values: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """95 % percentile interval of the column means of ``values`` ``[N, K]`` under resampling of rows → ``[2, K]``."""
    count = len(values)
    means = np.stack(
        [values[generator.integers(count, size=count)].mean(axis=0) for _ in range(resamples)]
    )
    return np.percentile(means, (2.5, 97.5), axis=0)


def ratio_interval(
    rows: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """95 % percentile interval of Σ rows[:, 0] / Σ rows[:, 1] under resampling of rows → ``[2]``."""
    count = len(rows)
    sums = [rows[generator.integers(count, size=count)].sum(axis=0) for _ in range(resamples)]
    return np.percentile([part / whole for part, whole in sums], (2.5, 97.5))


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean of at least two independent values."""
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def score_interval(values: Sequence[float], over_sentences: Sequence[Interval]) -> Interval:
    """Interval of the mean score of several training runs: over seeds and over test sentences.

    Both sources of error add up in squares, each side by itself: the t interval over the seeds, and
    the mean of the runs' own intervals over sentences (the runs share their sentences, so that
    several runs do not narrow it). With one seed only the sentences count.

    Args:
        values: One score per seed.
        over_sentences: The interval of each score over the test sentences.

    Returns:
        Low and high end, clipped to [0, 100].
    """
    mean, (low, high) = float(np.mean(values)), np.mean(over_sentences, axis=0)
    seeds = mean_interval(values)[1] - mean if len(values) > 1 else 0.0
    ends = mean - np.hypot(seeds, mean - low), mean + np.hypot(seeds, high - mean)
    return float(max(ends[0], 0.0)), float(min(ends[1], 100.0))


def paired_p_value(differences: Sequence[float]) -> float:
    """Two-sided p-value of the paired t-test: is the mean of ``differences``, one per seed, zero?

    Differences that are all the same leave no spread to divide by. Their p-value is that of the exact
    sign-flip test, 2 / 2^n; or 1, if they are zero.
    """
    if np.ptp(differences) == 0:
        return 1.0 if differences[0] == 0 else 2.0 ** (1 - len(differences))
    return float(stats.ttest_1samp(differences, 0.0).pvalue)
