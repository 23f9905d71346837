"""Intervals and tests against what they promise: coverage, symmetry, and ends within the scale."""

import numpy as np
import pytest
from scipy import stats

from textgen_env.metrics.statistics import (
    mean_interval,
    paired_p_value,
    score_interval,
    wilson_interval,
)


@pytest.mark.parametrize("count", [1, 5, 100, 6750])
@pytest.mark.parametrize("percent", [0.0, 20.0, 100.0])
def test_wilson_has_a_width_within_the_scale_and_is_symmetric(percent, count):
    low, high = wilson_interval(percent, count)
    assert 0 <= low < high <= 100
    assert wilson_interval(100 - percent, count) == pytest.approx((100 - high, 100 - low))
    if percent == 100:
        assert low == pytest.approx(
            100 * count / (count + 1.96**2), abs=0.01
        )  # Wilson's closed form at p = 1


@pytest.mark.parametrize(
    ("seeds", "quantile"), [(2, 12.706), (5, 2.776), (11, 2.228), (121, 1.980)]
)
def test_the_interval_over_seeds_is_students_t(seeds, quantile):
    values = [float(i % 2) for i in range(seeds)]
    low, high = mean_interval(values)
    assert (high - low) / 2 == pytest.approx(
        quantile * np.std(values, ddof=1) / np.sqrt(seeds), rel=1e-3
    )


@pytest.mark.parametrize(
    "values", [[100.0] * 5, [0.0] * 5, [99.0, 100.0], [0.0, 1.0, 100.0], [100.0]]
)
def test_a_score_interval_stays_within_the_scale_and_has_a_width(values):
    low, high = score_interval(values, [wilson_interval(value, 200) for value in values])
    assert 0 <= low < high <= 100
    assert low <= np.mean(values) <= high


def test_a_score_interval_is_no_narrower_than_either_source_of_error():
    values, sentences = (
        [30.0, 31.0, 32.0],
        [(value - 1.5, value + 1.5) for value in (30.0, 31.0, 32.0)],
    )
    low, high = score_interval(values, sentences)
    seeds = mean_interval(values)[1] - 31
    assert high - 31 == pytest.approx(np.hypot(seeds, 1.5)) == pytest.approx(31 - low)
    assert score_interval(values[:1], sentences[:1]) == pytest.approx((28.5, 31.5))
    assert score_interval([31.0] * 3, [(29.5, 32.5)] * 3) == pytest.approx((29.5, 32.5))


def test_a_score_interval_covers_new_seeds_and_new_sentences():
    """Each score is the truth plus an error of its seed and one of the sentences that all share."""
    generator, inside = np.random.default_rng(0), 0
    for _ in range(300):
        scores = 50 + generator.normal(0, 1, size=4) + generator.normal(0, 1)
        low, high = score_interval(list(scores), [(score - 1.96, score + 1.96) for score in scores])
        inside += low < 50 < high
    assert 280 <= inside <= 299  # 95 % of 300, four standard deviations below and the rest above


def test_the_paired_test_is_ttest_rel_and_defined_without_spread():
    baseline, system = [20.0, 22.0, 21.0], [21.0, 24.0, 22.5]
    gains = [after - before for before, after in zip(baseline, system, strict=True)]
    assert paired_p_value(gains) == pytest.approx(stats.ttest_rel(system, baseline).pvalue)
    assert paired_p_value([-gain for gain in gains]) == pytest.approx(paired_p_value(gains))
    assert paired_p_value([0.0, 0.0]) == 1
    assert paired_p_value([100.0] * 5) == 1 / 16  # 2 of 2^5 signs are as far from 0


def test_the_paired_test_is_rarely_wrong_about_equal_systems():
    gains = np.random.default_rng(0).normal(size=(400, 3))
    assert np.mean([paired_p_value(row) < 0.05 for row in gains]) == pytest.approx(0.05, abs=0.035)
