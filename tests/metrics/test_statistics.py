"""Intervals and tests: closed forms, coverage, symmetry, and bounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from textgen_env.metrics.statistics import (
    bootstrap_interval,
    mean_interval,
    paired_bootstrap_p_value,
    paired_p_value,
    ratio_interval,
    score_interval,
    wilson_interval,
)


@pytest.mark.parametrize("count", [1, 5, 100, 6750])
@pytest.mark.parametrize("percent", [0.0, 20.0, 100.0])
def test_wilson_interval_is_within_bounds_and_symmetric(percent: float, count: int) -> None:
    low, high = wilson_interval(percent, count)
    assert 0 <= low < high <= 100
    assert wilson_interval(100 - percent, count) == pytest.approx((100 - high, 100 - low))


@pytest.mark.parametrize("count", [1, 5, 100, 6750])
def test_wilson_interval_of_all_successes_has_the_closed_form(count: int) -> None:
    low, _ = wilson_interval(100, count)
    assert low == pytest.approx(100 * count / (count + 1.96**2), abs=0.01)


def test_bootstrap_interval_has_its_nominal_coverage() -> None:
    generator, covered = np.random.default_rng(0), 0
    for _ in range(200):
        low, high = bootstrap_interval(generator.normal(size=(60, 1)), generator, resamples=200)
        covered += bool(low[0] < 0 < high[0])
    assert stats.binomtest(covered, 200, 0.95).pvalue > 0.001


def test_bootstrap_interval_of_columns_is_that_of_each_column() -> None:
    values = np.random.default_rng(0).normal(size=(30, 2))
    together = bootstrap_interval(values, np.random.default_rng(1), resamples=50)
    for column in (0, 1):
        alone = bootstrap_interval(values[:, [column]], np.random.default_rng(1), resamples=50)
        np.testing.assert_allclose(together[:, [column]], alone)


def test_ratio_interval_with_unit_denominators_is_that_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=30)
    rows = np.stack([values, np.ones(30)], axis=1)
    expected = bootstrap_interval(values[:, None], np.random.default_rng(1), resamples=50)
    interval = ratio_interval(rows, np.random.default_rng(1), resamples=50)
    np.testing.assert_allclose(interval, expected[:, 0])


def test_ratio_interval_of_one_row_is_its_ratio() -> None:
    interval = ratio_interval(np.array([[4.0, 3.0]]), np.random.default_rng(1))
    np.testing.assert_allclose(interval, [4 / 3, 4 / 3])


def test_paired_bootstrap_p_value_is_symmetric_and_bounded() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, size=40)
    p_value, mirrored = (
        paired_bootstrap_p_value(sign * differences, np.random.default_rng(1)) for sign in (1, -1)
    )
    assert 1 / 1001 <= p_value == mirrored < 1
    assert paired_bootstrap_p_value(np.zeros(40), np.random.default_rng(1)) == 1
    assert paired_bootstrap_p_value(np.ones(1), np.random.default_rng(1)) == 1


def test_paired_bootstrap_rarely_rejects_equal_systems() -> None:
    generator = np.random.default_rng(0)
    rejected = sum(
        paired_bootstrap_p_value(generator.normal(size=60), generator, resamples=200) < 0.05
        for _ in range(200)
    )
    assert stats.binomtest(rejected, 200, 0.05).pvalue > 0.001


@pytest.mark.parametrize(
    ("seeds", "quantile"), [(2, 12.706), (5, 2.776), (11, 2.228), (121, 1.980)]
)
def test_mean_interval_has_students_t_quantiles(seeds: int, quantile: float) -> None:
    values = [float(i % 2) for i in range(seeds)]
    low, high = mean_interval(values)
    expected = quantile * np.std(values, ddof=1) / np.sqrt(seeds)
    assert (high - low) / 2 == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    "values", [[100.0] * 5, [0.0] * 5, [99.0, 100.0], [0.0, 1.0, 100.0], [100.0]]
)
def test_score_interval_is_within_bounds_and_never_empty(values: list[float]) -> None:
    low, high = score_interval(values, [wilson_interval(value, 200) for value in values])
    assert 0 <= low < high <= 100
    assert low <= np.mean(values) <= high


def test_score_interval_adds_both_errors_in_quadrature() -> None:
    values = [30.0, 31.0, 32.0]
    over_sentences = [(value - 1.5, value + 1.5) for value in values]
    low, high = score_interval(values, over_sentences)
    over_seeds = mean_interval(values)[1] - 31
    assert high - 31 == pytest.approx(np.hypot(over_seeds, 1.5)) == pytest.approx(31 - low)
    assert score_interval(values[:1], over_sentences[:1]) == pytest.approx((28.5, 31.5))
    assert score_interval([31.0] * 3, [(29.5, 32.5)] * 3) == pytest.approx((29.5, 32.5))


def test_score_interval_covers_errors_of_seeds_and_of_sentences() -> None:
    """The error of the sentences is common to all seeds. The interval may be conservative."""
    generator, covered = np.random.default_rng(0), 0
    for _ in range(300):
        scores = 50 + generator.normal(0, 1, size=4) + generator.normal(0, 1)
        low, high = score_interval(list(scores), [(score - 1.96, score + 1.96) for score in scores])
        covered += low < 50 < high
    assert stats.binomtest(covered, 300, 0.95, alternative="less").pvalue > 0.001
    assert covered < 300


def test_paired_p_value_equals_the_paired_t_test() -> None:
    baseline, system = [20.0, 22.0, 21.0], [21.0, 24.0, 22.5]
    differences = [after - before for before, after in zip(baseline, system, strict=True)]
    p_value = paired_p_value(differences)
    assert p_value == pytest.approx(stats.ttest_rel(system, baseline).pvalue)
    assert paired_p_value([-difference for difference in differences]) == pytest.approx(p_value)


def test_paired_p_value_of_equal_differences_is_the_sign_flip_test() -> None:
    assert paired_p_value([0.0, 0.0]) == 1
    result = stats.permutation_test(
        (np.full(5, 100.0),), np.mean, permutation_type="samples", vectorized=True
    )
    assert paired_p_value([100.0] * 5) == pytest.approx(result.pvalue) == 1 / 16


def test_paired_p_value_rarely_rejects_equal_systems() -> None:
    differences = np.random.default_rng(0).normal(size=(400, 3))
    rejected = sum(paired_p_value(row) < 0.05 for row in differences)
    assert stats.binomtest(rejected, 400, 0.05).pvalue > 0.001
