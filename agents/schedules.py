"""β schedules (how much of a roll-in is the expert's) and learning-rate schedules, as functions of progress or step."""

from __future__ import annotations

import math
from collections.abc import Callable

from textgen_env.errors import UserError, unknown

BETA: dict[str, Callable[[float], Callable[[float], float]]] = {
    "exponential": lambda rate: lambda progress: rate**progress,
    "linear": lambda rate: lambda progress: 1 - (1 - rate) * progress,
    "reverse_sigmoid": lambda rate: lambda progress: 1 / (1 + math.exp((progress - 0.5) / max(rate, 1e-3))),
    "constant": lambda rate: lambda progress: rate,
}


def beta(name: str, rate: float) -> Callable[[float], float]:
    """β as a function of progress in [0, 1] (Lin et al. 2020, section 4 and their ablation).

    exponential: rate^progress (the paper's; 1/200 for IWSLT) · linear: from 1 to ``rate`` ·
    reverse_sigmoid: ½ at half-time, ``rate`` is its width · constant: ``rate``.
    """
    if name not in BETA:
        raise unknown("beta schedule", name, BETA)
    if not 0 <= rate <= 1:
        raise UserError(f"rate={rate}: a schedule's parameter lies between 0 and 1")
    return BETA[name](rate)


def inverse_sqrt(step: int, warmup: int, steps: int) -> float:
    """Linear warm-up to 1, then sqrt(warmup / step) (Vaswani et al. 2017, section 5.3, scaled to a peak of 1)."""
    step, warmup = step + 1, max(warmup, 1)
    return min(step / warmup, math.sqrt(warmup / step))


def linear(step: int, warmup: int, steps: int) -> float:
    """Linear warm-up to 1, then linearly to 0 at the last step: the better choice for a short budget."""
    return min((step + 1) / max(warmup, 1), (steps - step) / max(steps - warmup, 1))


LEARNING_RATE: dict[str, Callable[[int, int, int], float]] = {"inverse_sqrt": inverse_sqrt, "linear": linear}


def learning_rate(name: str, warmup: int, steps: int) -> Callable[[int], float]:
    """The factor on the peak learning rate at update ``step`` (from 0)."""
    if name not in LEARNING_RATE:
        raise unknown("learning-rate schedule", name, LEARNING_RATE)
    return lambda step: LEARNING_RATE[name](step, warmup, steps)
