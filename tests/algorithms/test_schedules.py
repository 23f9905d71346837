"""Schedules of β."""

import math

from agents.algorithms.schedules import BETA_SCHEDULES, beta_schedule


def test_beta_decreases_from_expert_to_student():
    assert beta_schedule("exponential", 1 / 200)(0) == 1
    assert math.isclose(beta_schedule("exponential", 1 / 200)(1), 1 / 200)
    for name in BETA_SCHEDULES:
        values = [beta_schedule(name, 0.1)(step / 50) for step in range(51)]
        assert all(0 <= value <= 1 for value in values)
        assert values == sorted(values, reverse=True)
        assert name == "constant" or values[0] > 0.9
