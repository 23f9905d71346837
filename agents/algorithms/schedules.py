"""Schedules of β, the expert's share in a roll-in, as functions of training progress."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from textgen_env.errors import UserError, unknown


class Schedule(NamedTuple):
    """β as a function of (rate, progress), and the values that the rate may have."""

    beta: Callable[[float, float], float]
    default: float
    allows_zero: bool
    meaning: str  # of the rate


BETA_SCHEDULES: dict[str, Schedule] = {
    "exponential": Schedule(lambda rate, progress: rate**progress, 1 / 200, False, "β at the end"),
    "linear": Schedule(lambda rate, progress: 1 - (1 - rate) * progress, 0.0, True, "β at the end"),
    "reverse_sigmoid": Schedule(  # 1 / (1 + exp((progress - ½) / rate)); tanh cannot overflow
        lambda rate, progress: 0.5 - 0.5 * math.tanh((progress - 0.5) / (2 * rate)),
        0.1,
        False,
        "the width",
    ),
    "constant": Schedule(lambda rate, progress: rate, 0.5, True, "β"),
}


def beta_schedule(name: str, rate: float | None = None) -> Callable[[float], float]:
    """β as a function of progress in [0, 1] (Lin et al. 2020, section 4 and ablation).

    Args:
        name: exponential (rate^progress, the paper's), linear (from 1 to ``rate``),
            reverse_sigmoid (½ at half of the training, of width ``rate``) or constant (``rate``).
        rate: in [0, 1]; None for the default: 1/200 for exponential, 0 for linear, 0.1 for
            reverse_sigmoid (β from 0.993 to 0.007), ½ for constant.

    Raises:
        UserError: the name is unknown or the rate is out of range.
    """
    if name not in BETA_SCHEDULES:
        raise unknown("beta schedule", name, BETA_SCHEDULES)
    schedule = BETA_SCHEDULES[name]
    rate = schedule.default if rate is None else rate
    if not (0 <= rate <= 1 if schedule.allows_zero else 0 < rate <= 1):
        allowed = "from 0 to 1" if schedule.allows_zero else "more than 0 and at most 1"
        raise UserError(f"rate={rate}: {schedule.meaning} of the {name} schedule is {allowed}")
    return partial(schedule.beta, rate)
