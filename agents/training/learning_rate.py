"""Learning-rate schedules, as functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from textgen_env.errors import unknown


def inverse_sqrt(step: int, warmup: int, steps: int) -> float:
    """Linear warm-up to 1, then sqrt(warmup / step) (Vaswani et al. 2017, section 5.3, scaled to a peak of 1)."""
    step, warmup = step + 1, max(warmup, 1)
    return min(step / warmup, math.sqrt(warmup / step))


def linear(step: int, warmup: int, steps: int) -> float:
    """Linear warm-up to 1, then linearly to 0 at the last step: the better choice for a short budget."""
    return min((step + 1) / max(warmup, 1), (steps - step) / max(steps - warmup, 1))


LEARNING_RATE: dict[str, Callable[[int, int, int], float]] = {
    "inverse_sqrt": inverse_sqrt,
    "linear": linear,
}


def learning_rate(name: str, warmup: int, steps: int) -> Callable[[int], float]:
    """The factor on the peak learning rate at update ``step`` (from 0)."""
    if name not in LEARNING_RATE:
        raise unknown("learning-rate schedule", name, LEARNING_RATE)
    return lambda step: LEARNING_RATE[name](step, warmup, steps)
