"""ImitKD in exact expectation, by β schedule and by whether a coin is per step, sequence or batch.

β is the probability that the expert acts in a roll-in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from agents.algorithms.schedules import beta_schedule
from agents.theory.bounds import GRANULARITIES, roll_in
from agents.theory.horizon import total_cost
from agents.theory.mdps import Array, tightrope, walker

SCHEDULES = {  # label → arguments of agents.algorithms.schedules.beta_schedule
    "constant 1 (cloning)": ("constant", 1.0),
    "exponential to 1/2": ("exponential", 0.5),
    "linear to 0": ("linear", 0.0),
    "exponential to 1/200": ("exponential", 1 / 200),
    "constant 1/2": ("constant", 0.5),
    "constant 0": ("constant", 0.0),
}


def sweep(rng: np.random.Generator, horizon: int = 64, coins: int = 32) -> list[dict[str, Any]]:
    """Regret and errors after training, one row per schedule and granularity.

    This is Lin et al. 2020, Algorithm 1, with the expected gradient of the log loss over the states
    of the roll-in; each iteration's data replace the previous ones. Only the coin per batch is
    random: its rows have the mean and the 5–95 % range of ``coins`` runs.
    """
    rows = []
    for granularity in GRANULARITIES:
        runs = coins if granularity == "batch" else 1
        wrong = train_tabular(horizon, granularity, runs, rng, Descent())  # [schedules, runs, 2]
        learner = walker(horizon, wrong[..., :1], wrong[..., 1:])
        regret = total_cost(tightrope(horizon, climb=True), learner)
        for name, costs, (rope, ground) in zip(SCHEDULES, regret, wrong.mean(1), strict=True):
            low, high = np.quantile(costs, (0.05, 0.95))
            metrics = {"regret": costs.mean(), "low": low, "high": high}
            metrics |= {"error_on_rope": rope, "error_on_ground": ground}
            row = {"schedule": name, "granularity": granularity, "horizon": horizon}
            rows.append(row | {key: float(value) for key, value in metrics.items()})
    return rows


class Descent(NamedTuple):
    """Settings of gradient descent from uniform logits."""

    iterations: int = 300
    rate: float = 10.0
    vocabulary: int = 64


def train_tabular(
    horizon: int, granularity: str, runs: int, rng: np.random.Generator, descent: Descent
) -> Array:
    """Train tabular policies by ImitKD; P(wrong) on rope and ground, ``[schedules, runs, 2]``.

    All steps share one softmax policy. Its V − 1 wrong actions always have equal logits, so only
    the margin of the right logit changes: by rate · visits · P(wrong) · V / (V − 1) per iteration,
    where visits is the share of the roll-in's steps in that state.
    """
    mdp, expert = tightrope(horizon, climb=True), walker(horizon, 0, 0)
    V, shape = descent.vocabulary, (len(SCHEDULES), runs)
    schedules = [beta_schedule(*arguments) for arguments in SCHEDULES.values()]
    margin, wrong = np.zeros((*shape, 2)), np.full((*shape, 2), 1 - 1 / V)
    for step in range(descent.iterations):
        progress = step / descent.iterations
        beta = np.array([[beta_at(progress)] for beta_at in schedules])  # [schedules, 1]
        if granularity == "batch":
            beta = (rng.random(shape) < beta).astype(float)
        learner = walker(horizon, wrong[..., :1], wrong[..., 1:])  # [schedules, runs, T, 2, 2]
        visits = roll_in(mdp, expert, learner, beta, granularity).mean(-2)  # [schedules, runs, 2]
        margin += descent.rate * visits * wrong * V / (V - 1)
        wrong = (V - 1) / (V - 1 + np.exp(margin))
    return wrong
