"""β: how much of a roll-in is the expert's, by schedule and by who tosses the coin, in ImitKD's exact expectation."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.algorithms.schedules import beta as schedule
from agents.theory.bounds import GRANULARITIES, roll_in
from agents.theory.horizon import total_cost
from agents.theory.mdps import Array, tightrope, walker

SCHEDULES = {  # what is shown: (name, rate), as agents.algorithms.schedules.beta takes them
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
    states, the data of an iteration replacing those before it; only the coin of a whole batch stays random.
    """
    rows = []
    for granularity in GRANULARITIES:
        batch = (len(SCHEDULES), coins if granularity == "batch" else 1)
        wrong = train(horizon, granularity, batch, rng)  # [schedules, coins, 2]
        regret = total_cost(tightrope(horizon, climb=True), walker(horizon, wrong[..., :1], wrong[..., 1:]))
        for name, costs, (rope, ground) in zip(SCHEDULES, regret, wrong.mean(1), strict=True):
            low, high = np.quantile(costs, (0.05, 0.95))
            figures = {"regret": costs.mean(), "low": low, "high": high, "error_on_rope": rope, "error_on_ground": ground}
            about = {"schedule": name, "granularity": granularity, "horizon": horizon}
            rows.append(about | {key: float(value) for key, value in figures.items()})
    return rows


def train(
    horizon: int,
    granularity: str,
    batch: tuple[int, int],
    rng: np.random.Generator,
    iterations: int = 300,
    rate: float = 10.0,
    vocabulary: int = 64,
) -> Array:
    """P(wrong) on rope and ground ``[schedules, coins, 2]`` after ``iterations`` steps of size ``rate`` from uniform logits.

    The softmax policy is one for all steps.  Its V − 1 wrong actions are alike and stay so: all that moves is the margin of the
    right logit over theirs, by rate · visits · P(wrong) · V / (V − 1); visits: the share of the roll-in's steps there.
    """
    mdp, expert = tightrope(horizon, climb=True), walker(horizon, 0, 0)
    margin = np.zeros((*batch, 2))
    for step in range(iterations + 1):
        wrong = (vocabulary - 1) / (vocabulary - 1 + np.exp(margin))
        if step == iterations:
            break
        beta = np.array([schedule(*settings)(step / iterations) for settings in SCHEDULES.values()])[:, None]  # [schedules, 1]
        if granularity == "batch":
            beta = (rng.random(batch) < beta).astype(float)
        learner = walker(horizon, wrong[..., :1], wrong[..., 1:])  # [schedules, coins, T, 2, 2]
        visits = roll_in(mdp, expert, learner, beta, granularity).mean(-2)  # [schedules, coins, 2]
        margin += rate * visits * wrong * vocabulary / (vocabulary - 1)
    return wrong
