"""Schedules of β, the share of a roll-in that is the expert's, as functions of progress."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from textgen_env.errors import UserError, unknown


class Kind(NamedTuple):
    """A kind of β schedule: β as a function of (rate, progress), and what its rate may be."""

    beta: Callable[[float, float], float]
    rate: float  # the default
    zero: bool  # whether the rate may be 0
    meaning: str


BETA: dict[str, Kind] = {
    "exponential": Kind(lambda rate, progress: rate**progress, 1 / 200, False, "β at the end"),
    "linear": Kind(lambda rate, progress: 1 - (1 - rate) * progress, 0.0, True, "β at the end"),
    "reverse_sigmoid": Kind(  # 1 / (1 + exp((progress - ½) / rate)), which cannot overflow as tanh
        lambda rate, progress: 0.5 - 0.5 * math.tanh((progress - 0.5) / (2 * rate)),
        0.1,
        False,
        "the width",
    ),
    "constant": Kind(lambda rate, progress: rate, 0.5, True, "β"),
}


def beta(name: str, rate: float | None = None) -> Callable[[float], float]:
    """β as a function of progress in [0, 1] (Lin et al. 2020, section 4 and their ablation).

    Args:
        name: exponential (rate^progress, the paper's), linear (from 1 to ``rate``),
            reverse_sigmoid (½ at half-time, ``rate`` is its width) or constant (``rate``).
        rate: in [0, 1]; None for the kind's own default: 1/200 for exponential, 0 for linear,
            0.1 for reverse_sigmoid (from 0.993 to 0.007), ½ for constant.

    Raises:
        UserError: for an unknown kind, or a rate out of its range.
    """
    if name not in BETA:
        raise unknown("beta schedule", name, BETA)
    kind = BETA[name]
    rate = kind.rate if rate is None else rate
    if not (0 <= rate <= 1 if kind.zero else 0 < rate <= 1):
        least = "from 0 to 1" if kind.zero else "more than 0 and at most 1"
        raise UserError(f"rate={rate}: {kind.meaning} of the {name} schedule is {least}")
    return partial(kind.beta, rate)
