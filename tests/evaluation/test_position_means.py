"""Means by position: equal to the means of all sentences, with bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.evaluation.position_means import PositionMeans, bootstrap_weights, interval
from textgen_env.metrics.statistics import bootstrap_interval

ROWS, RESAMPLES = 400, 500


@pytest.fixture
def sentences():
    """Weights ``[B, 1 + R]``, values ``[B, 4]`` and the mask of the existing positions."""
    rng = np.random.default_rng(0)
    lengths = torch.from_numpy(rng.integers(1, 5, ROWS))
    values = torch.from_numpy(rng.normal(size=(ROWS, 4)) + np.arange(4))
    rngs = [np.random.default_rng((7, row)) for row in range(ROWS)]
    return bootstrap_weights(rngs, RESAMPLES), values, torch.arange(4) < lengths[:, None]


@pytest.fixture
def means(sentences):
    weights, values, mask = sentences
    means = PositionMeans(6, RESAMPLES)
    means.add(weights, {"x": values}, mask)
    return means


def test_curve_is_the_mean_over_sentences_that_reach_a_position(sentences, means):
    _, values, mask = sentences
    assert means.reached == 4
    expected = [float(values[mask[:, t], t].mean()) for t in range(4)]
    assert means.curve("x")[0] == pytest.approx(expected)


def test_batching_does_not_change_the_sums(sentences, means):
    weights, values, mask = sentences
    batched = PositionMeans(6, RESAMPLES)
    for rows in np.array_split(np.random.default_rng(1).permutation(ROWS), 7):
        batched.add(weights[rows], {"x": values[rows]}, mask[rows])
    assert batched.sums["x"] == pytest.approx(means.sums["x"])


def test_interval_has_the_width_of_a_bootstrap_over_sentences(sentences, means):
    _, values, mask = sentences
    low, high = bootstrap_interval(values[mask[:, 2], 2].numpy()[:, None], np.random.default_rng(1))
    result = interval(means.curve("x"))
    width = result["high"][2] - result["low"][2]
    assert width == pytest.approx(float(high[0] - low[0]), rel=0.15)
    assert result["low"][2] < result["value"][2] < result["high"][2]


def test_memory_does_not_depend_on_the_number_of_sentences(means):
    assert {array.shape for array in (means.count, *means.sums.values())} == {(1 + RESAMPLES, 6)}
