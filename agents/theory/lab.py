"""How regret grows with the horizon, exactly, for the worst learner that each training guarantee allows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from agents.theory.bounds import audit
from agents.theory.horizon import action_values, states
from agents.theory.mdps import MDP, Array, random_mdp, random_policy, tightrope, walker
from textgen_env.errors import UserError

VOCABULARY = 64  # of the learner that guesses in states it was not trained on


class Slope(NamedTuple):
    """The exponent p of regret ∝ T^p."""

    value: float  # by least squares over all horizons
    low: float  # the lowest between neighboring horizons
    high: float  # the highest


class Curve(NamedTuple):
    """One learner over the horizons.  ``kind``: "exact" where it is computed here; trained students have another."""

    setting: str
    learner: str
    kind: str
    horizon: list[int]
    regret: list[float]  # J(π̂) − J(π*)
    bound: list[float]  # of the theorem named by ``theorem``
    theorem: str
    slope: Slope


def horizons(shortest: int, longest: int) -> list[int]:
    """Doubling from ``shortest`` to at most ``longest``; UserError where that leaves fewer than three."""
    doubled = (
        [shortest * 2**k for k in range(32) if shortest * 2**k <= longest] if shortest > 0 else []
    )
    if len(doubled) < 3:
        raise UserError(
            f"shortest={shortest} longest={longest}: a slope takes three doubled horizons; try longest=1024"
        )
    return doubled


def fit_slope(horizon: list[int], regret: list[float]) -> Slope:
    """A line through log regret over log T.  The values are exact: the interval is the curve's bend, not a sampling error."""
    x, y = np.log(horizon), np.log(regret)
    local = np.diff(y) / np.diff(x)
    return Slope(float(np.polyfit(x, y, 1)[0]), float(local.min()), float(local.max()))


def horizon_curves(steps: list[int], epsilon: float) -> list[Curve]:
    """Regret at the same error ``epsilon`` a step on the states that each algorithm trains on.

    Cloning trains on the expert's states, which are all on the rope.  On the ground nothing is promised: at worst it is always
    wrong, or it guesses among 64 actions.  DAgger trains on its own states and errs with chance ε on the ground as well.
    """
    cases = [  # setting, learner, theorem, whether one can climb back, chance of a wrong action on the ground
        ("climb back", "cloning", "T²ε", True, 1.0),
        ("climb back", "cloning, guessing", "T²ε", True, 1 - 1 / VOCABULARY),
        ("climb back", "DAgger", "uTε", True, epsilon),
        ("for ever", "cloning", "T²ε", False, 1.0),
        ("for ever", "DAgger", "uTε", False, epsilon),
    ]
    return [
        _curve(
            steps,
            setting,
            learner,
            theorem,
            partial(tightrope, climb=climb),
            partial(walker, rope=epsilon, ground=ground),
        )
        for setting, learner, theorem, climb, ground in cases
    ]


def horizon_free(steps: list[int], demonstrations: int) -> list[Curve]:
    """Cloning by log loss from a fixed number of demonstrations; falls are for ever, an episode's cost is scaled to [0, 1].

    The conditions (Foster, Block & Misra 2024, Section 2): a deterministic expert in the policy class, log loss, and a range
    R of an episode's cost and a size log |Π| of the class that do not grow with T.  Here R = 1, and one policy for all steps
    learns from T labels per demonstration: its error per step falls as 1 / T and the summed log loss is constant.  With a
    policy for each step (log |Π| ∝ T), each has one label per demonstration: the error per step is constant, the regret
    grows.  Both estimate by counting, with half a label added to each action (Krichevsky & Trofimov 1981); all
    demonstrations are alike here, so nothing is sampled.  This does not contradict T²ε: at a
    *fixed* ε a step the summed log loss T ε grows with T as well.
    """

    def mdp(horizon: int) -> MDP:
        dense = tightrope(horizon, climb=False)
        return MDP(dense.start, dense.transition, dense.cost / horizon)

    def estimated(horizon: int, shared: bool) -> Array:
        labels = demonstrations * (
            horizon if shared else 1
        )  # all of them the right action: the expert never errs
        return walker(horizon, rope=0.5 / (labels + 1), ground=1)

    return [
        _curve(
            steps,
            "for ever, R = 1",
            "one policy for all",
            "R·D²",
            mdp,
            partial(estimated, shared=True),
        ),
        _curve(
            steps,
            "for ever, R = 1",
            "a policy each step",
            "R·D²",
            mdp,
            partial(estimated, shared=False),
        ),
    ]


def tight(steps: list[int], epsilon: float) -> dict[str, list[float]]:
    """Regret / T²ε where falls are for ever: 1 with all mistakes at the first step, → (T + 1) / 2T as ε → 0 if spread out."""
    ratios: dict[str, list[float]] = {
        "all at the first step": [],
        "the same at every step": [],
        "its limit (T + 1) / 2T": [],
    }
    for horizon in steps:
        first = np.zeros(horizon)
        first[0] = min(1.0, horizon * epsilon)
        for name, rope in zip(ratios, (first, np.full(horizon, epsilon)), strict=False):
            result = audit(
                tightrope(horizon, climb=False), walker(horizon, 0, 0), walker(horizon, rope, 1)
            )
            ratios[name].append(float(result.regret / result.bounds()["T²ε"]))
        ratios["its limit (T + 1) / 2T"].append((horizon + 1) / (2 * horizon))
    return ratios


def cost_by_step(horizon: int, epsilon: float) -> dict[str, list[float]]:
    """E[c_t] for t = 1 … T on the rope that one can climb back on; the area under each curve is J."""
    mdp = tightrope(horizon, climb=True)
    learners = {"cloning": walker(horizon, epsilon, 1), "DAgger": walker(horizon, epsilon, epsilon)}
    return {
        name: (states(mdp, pi)[..., None] * pi * mdp.cost).sum((-2, -1)).tolist()
        for name, pi in learners.items()
    }


def random_mdps(
    rng: np.random.Generator, draws: int, horizon: int = 6, size: int = 4, actions: int = 3
) -> dict[str, Any]:
    """All bounds in ``draws`` random MDPs: how often each is broken (0, or there is a bug), and how tight it is at best.

    Half of the experts are deterministic.  A learner is its expert, except that with a random chance between 0.01 % and 1 per
    step it acts otherwise: a third by a random policy, a third by one random action, a third by the most expensive action.
    """
    broken: dict[str, int] = {}
    largest: dict[str, float] = {}
    for mdp, expert, learner in _pairs(rng, draws, horizon, size, actions):
        result = audit(mdp, expert, learner)
        for name, bound in result.bounds().items():
            ratio = np.divide(result.regret, bound, where=bound > 1e-12, out=np.zeros_like(bound))
            broken[name] = broken.get(name, 0) + int((result.regret > bound + 1e-9).sum())
            largest[name] = max(largest.get(name, 0.0), float(ratio.max()))
    return {"draws": draws, "broken": broken, "largest_ratio": largest}


def _pairs(
    rng: np.random.Generator, draws: int, horizon: int, size: int, actions: int
) -> list[tuple[MDP, Array, Array]]:
    pairs = []
    for number, share in enumerate(np.diff(np.linspace(0, draws, 7).astype(int))):
        mdp = random_mdp(rng, horizon, size, actions, (share,))
        expert = random_policy(rng, mdp, deterministic=number % 2 == 0)
        worst = np.eye(actions)[action_values(mdp, expert).argmax(-1)]
        other = worst if number < 2 else random_policy(rng, mdp, deterministic=number < 4)
        rate = 10 ** rng.uniform(-4, 0, (share, 1, 1, 1))
        pairs.append((mdp, expert, (1 - rate) * expert + rate * other))
    return pairs


def _curve(
    steps: list[int],
    setting: str,
    learner: str,
    theorem: str,
    mdp: Callable[[int], MDP],
    policy: Callable[[int], Array],
) -> Curve:
    regret, bound = [], []
    for horizon in steps:
        result = audit(mdp(horizon), walker(horizon, rope=0, ground=0), policy(horizon))
        regret.append(float(result.regret))
        bound.append(float(result.bounds()[theorem]))
    return Curve(setting, learner, "exact", steps, regret, bound, theorem, fit_slope(steps, regret))
