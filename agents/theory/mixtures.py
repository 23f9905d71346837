"""β, the expert's share of a roll-in, by schedule and by what a coin decides about, in ImitKD's exact expectation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from agents.algorithms.schedules import beta_schedule
from agents.theory.bounds import GRANULARITIES, roll_in
from agents.theory.horizon import total_cost
from agents.theory.mdps import Array, tightrope, walker

SCHEDULES = {  # label → (name, rate) of agents.algorithms.schedules.beta_schedule
    "constant 1 (cloning)": ("constant", 1.0),
    "exponential to 1/2": ("exponential", 0.5),
    "linear to 0": ("linear", 0.0),
    "exponential to 1/200": ("exponential", 1 / 200),
    "constant 1/2": ("constant", 0.5),
    "constant 0": ("constant", 0.0),
}


def sweep(rng: np.random.Generator, horizon: int = 64, coins: int = 32) -> list[dict[str, Any]]:
    """One row a schedule and granularity: regret and errors after training; "batch": means and 5–95 % range of ``coins`` runs.

    The population version of Lin et al. 2020, Algorithm 1: the expected gradient of the expert's log loss over the roll-in's
    states, each iteration's data replacing the previous; only the coin of a whole batch is random.
    """
    rows = []
    for granularity in GRANULARITIES:
        wrong = train(
            horizon, granularity, coins if granularity == "batch" else 1, rng, Descent()
        )  # [schedules, coins, 2]
        regret = total_cost(
            tightrope(horizon, climb=True), walker(horizon, wrong[..., :1], wrong[..., 1:])
        )
        for name, costs, (rope, ground) in zip(SCHEDULES, regret, wrong.mean(1), strict=True):
            low, high = np.quantile(costs, (0.05, 0.95))
            metrics = {
                "regret": costs.mean(),
                "low": low,
                "high": high,
                "error_on_rope": rope,
                "error_on_ground": ground,
            }
            about = {"schedule": name, "granularity": granularity, "horizon": horizon}
            rows.append(about | {key: float(value) for key, value in metrics.items()})
    return rows


class Descent(NamedTuple):
    """Gradient descent from uniform logits over ``vocabulary`` actions: how many steps, and of which size."""

    iterations: int = 300
    rate: float = 10.0
    vocabulary: int = 64


def train(
    horizon: int, granularity: str, coins: int, rng: np.random.Generator, descent: Descent
) -> Array:
    """P(wrong) on rope and ground ``[schedules, coins, 2]`` after training.

    All steps share one softmax policy.  Its V − 1 wrong actions have equal logits throughout, so only the margin of the right
    logit moves, by rate · visits · P(wrong) · V / (V − 1); visits: the share of the roll-in's steps in that state.
    """
    mdp, expert = tightrope(horizon, climb=True), walker(horizon, 0, 0)
    V, shape = descent.vocabulary, (len(SCHEDULES), coins)
    margin, wrong = np.zeros((*shape, 2)), np.full((*shape, 2), 1 - 1 / V)
    for step in range(descent.iterations):
        progress = step / descent.iterations
        beta = np.array(
            [[beta_schedule(*settings)(progress)] for settings in SCHEDULES.values()]
        )  # [schedules, 1]
        if granularity == "batch":
            beta = (rng.random(shape) < beta).astype(float)
        learner = walker(horizon, wrong[..., :1], wrong[..., 1:])  # [schedules, coins, T, 2, 2]
        visits = roll_in(mdp, expert, learner, beta, granularity).mean(-2)  # [schedules, coins, 2]
        margin += descent.rate * visits * wrong * V / (V - 1)
        wrong = (V - 1) / (V - 1 + np.exp(margin))
    return wrong
