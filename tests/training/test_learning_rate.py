"""Learning-rate schedules."""

import pytest

from agents.training.learning_rate import LEARNING_RATE, learning_rate


@pytest.mark.parametrize("name", LEARNING_RATE)
def test_the_peak_is_one_at_the_end_of_the_warm_up(name):
    factors = [learning_rate(name, warmup=10, steps=100)(step) for step in range(100)]
    assert max(factors) == 1
    assert factors.index(1) == 9
    assert min(factors) > 0
