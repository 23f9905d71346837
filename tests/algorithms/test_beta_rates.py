"""The rates of the β schedules."""

from __future__ import annotations

import math

import pytest

from agents.algorithms.schedules import BETA_SCHEDULES, beta_schedule
from textgen_env.errors import UserError


@pytest.mark.parametrize(
    ("kind", "start", "middle", "end"),
    [
        ("exponential", 1, 1 / math.sqrt(200), 1 / 200),
        ("linear", 1, 0.5, 0),
        ("reverse_sigmoid", 0.9933, 0.5, 0.0067),
        ("constant", 0.5, 0.5, 0.5),
    ],
)
def test_default_rate_of_each_schedule(kind: str, start: float, middle: float, end: float) -> None:
    schedule = beta_schedule(kind)
    values = [schedule(progress) for progress in (0, 0.5, 1)]
    assert values == pytest.approx([start, middle, end], abs=1e-4)


@pytest.mark.parametrize("kind", BETA_SCHEDULES)
@pytest.mark.parametrize("rate", [-0.1, 1.5, math.nan, math.inf])
def test_a_rate_out_of_range_is_refused_by_name(kind: str, rate: float) -> None:
    with pytest.raises(UserError, match=rf"^rate={rate}: .* of the {kind} schedule"):
        beta_schedule(kind, rate)


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [("linear", True), ("constant", True), ("exponential", False), ("reverse_sigmoid", False)],
)
def test_zero_is_a_valid_end_but_not_a_base_or_width(kind: str, allowed: bool) -> None:
    if allowed:
        assert beta_schedule(kind, 0.0)(1) == 0
    else:
        with pytest.raises(UserError, match=r"^rate=0\.0: .* more than 0"):
            beta_schedule(kind, 0.0)


def test_a_narrow_reverse_sigmoid_does_not_overflow() -> None:
    schedule = beta_schedule("reverse_sigmoid", 1e-300)
    assert [schedule(progress) for progress in (0, 0.5, 1)] == [1, 0.5, 0]
