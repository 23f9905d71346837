"""Learning-rate schedules: the factor on the peak learning rate at each step.

A schedule is a function of the step and of the steps of the whole training. A resume with more
``train.steps`` therefore continues on the schedule of the longer training: with ``linear``, the
rate jumps up to where that training would be at this step, and decays to 0 at the new end.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from textgen_env.errors import unknown


def inverse_sqrt(step: int, warmup: int, steps: int) -> float:
    """Linear warm-up to 1, then sqrt(warmup / step).

    Vaswani et al. 2017, section 5.3, scaled to a peak of 1.
    """
    step, warmup = step + 1, max(warmup, 1)
    return min(step / warmup, math.sqrt(warmup / step))


def linear_decay(step: int, warmup: int, steps: int) -> float:
    """Linear warm-up to 1, then linear decay to 0; the better choice for a short training."""
    return min((step + 1) / max(warmup, 1), (steps - step) / max(steps - warmup, 1))


LEARNING_RATE: dict[str, Callable[[int, int, int], float]] = {
    "inverse_sqrt": inverse_sqrt,
    "linear": linear_decay,
}


def learning_rate(name: str, warmup: int, steps: int) -> Callable[[int], float]:
    """The schedule ``name`` as a function of the step, which counts from 0."""
    if name not in LEARNING_RATE:
        raise unknown("learning-rate schedule", name, LEARNING_RATE)
    return lambda step: LEARNING_RATE[name](step, warmup, steps)
