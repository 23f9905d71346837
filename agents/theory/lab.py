"""Exact regret by horizon for the worst learner that each algorithm's guarantee allows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from agents.theory.bounds import audit
from agents.theory.horizon import action_values, state_distribution
from agents.theory.mdps import MDP, Array, random_mdp, random_policy, tightrope, walker
from textgen_env.errors import UserError

VOCABULARY = 64  # actions among which a learner guesses in states it was not trained on


class Slope(NamedTuple):
    """The exponent p of regret ∝ T^p, with its range."""

    value: float  # least squares over all horizons
    low: float
    high: float


class RegretCurve(NamedTuple):
    """The regret of one learner by horizon."""

    setting: str
    learner: str
    kind: str  # "exact", or how the curve of trained students was measured
    horizon: list[int]
    regret: list[float]  # J(π̂) − J(π*)
    bound: list[float]  # the upper bound by ``theorem``
    theorem: str
    slope: Slope


def horizons(shortest: int, longest: int) -> list[int]:
    """The horizons ``shortest · 2^k`` up to ``longest``.

    Raises:
        UserError: There are fewer than three.
    """
    doubled = [shortest * 2**k for k in range(32)] if shortest > 0 else []
    doubled = [horizon for horizon in doubled if horizon <= longest]
    if len(doubled) < 3:
        raise UserError(
            f"shortest={shortest} longest={longest}: a slope needs at least three horizons, "
            "each twice the previous one; try longest=1024"
        )
    return doubled


def fit_slope(horizon: list[int], regret: list[float]) -> Slope:
    """Fit a line to log regret over log T; the range is that of the slopes between neighbors.

    The values are exact, so the range shows how straight the curve is, not a sampling error.
    """
    x, y = np.log(horizon), np.log(regret)
    local = np.diff(y) / np.diff(x)
    return Slope(float(np.polyfit(x, y, 1)[0]), float(local.min()), float(local.max()))


def horizon_curves(horizons: list[int], epsilon: float) -> list[RegretCurve]:
    """Regret at a per-step error of ``epsilon`` on the states that each algorithm trains on.

    Behavioral cloning trains on the expert's states, which are all on the rope. On the ground it
    has no guarantee: it is always wrong in the worst case, or guesses among 64 actions. DAgger
    trains on its own states, so its error on the ground is ε too.
    """
    cases = [  # setting, learner, theorem, whether a fall is recoverable, P(wrong | ground)
        ("recoverable", "cloning", "T²ε", True, 1.0),
        ("recoverable", "cloning, guessing", "T²ε", True, 1 - 1 / VOCABULARY),
        ("recoverable", "DAgger", "uTε", True, epsilon),
        ("permanent", "cloning", "T²ε", False, 1.0),
        ("permanent", "DAgger", "uTε", False, epsilon),
    ]
    curves = []
    for setting, learner, theorem, climb, ground in cases:
        mdp = partial(tightrope, climb=climb)
        policy = partial(walker, rope=epsilon, ground=ground)
        curves.append(_curve((setting, learner, theorem), horizons, mdp, policy))
    return curves


def horizon_free(horizons: list[int], demonstrations: int) -> list[RegretCurve]:
    """Behavioral cloning by log loss from ``demonstrations``; falls are permanent and R = 1.

    Foster, Block & Misra 2024 (Section 2) assume a deterministic expert in the policy class, log
    loss, and that neither the range R of an episode's cost nor log |Π| grows with T. Here R = 1. A
    single policy for all steps learns from T labels per demonstration: its per-step error falls as
    1 / T, and the summed log loss is constant. With one policy per step (log |Π| ∝ T) each gets one
    label per demonstration: the per-step error is constant, and the regret grows.

    Both policies are Krichevsky-Trofimov (1981) estimates, counts plus half a label per action. All
    demonstrations are equal here, so nothing is sampled. This does not contradict T²ε: at a *fixed*
    per-step ε the summed log loss T ε grows with T.
    """

    def mdp(horizon: int) -> MDP:
        dense = tightrope(horizon, climb=False)
        return MDP(dense.start, dense.transition, dense.cost / horizon)

    def estimate(horizon: int, shared: bool) -> Array:
        # The expert never errs, so all labels are the right action.
        labels = demonstrations * (horizon if shared else 1)
        return walker(horizon, rope=0.5 / (labels + 1), ground=1)

    return [
        _curve(("permanent, R=1", learner, "R·D²"), horizons, mdp, partial(estimate, shared=shared))
        for learner, shared in (("one policy", True), ("policy per step", False))
    ]


def tight(horizons: list[int], epsilon: float) -> dict[str, list[float]]:
    """Regret / T²ε by horizon if falls are permanent.

    The ratio is 1 if all mistakes happen at the first step. If they are equally likely at every
    step it tends to (T + 1) / 2T as ε → 0.
    """
    names = ("all at the first step", "equally likely at every step", "limit (T + 1) / 2T")
    ratios: dict[str, list[float]] = {name: [] for name in names}
    for horizon in horizons:
        first = np.zeros(horizon)
        first[0] = min(1.0, horizon * epsilon)
        mdp, expert = tightrope(horizon, climb=False), walker(horizon, 0, 0)
        for name, rope in zip(names, (first, np.full(horizon, epsilon)), strict=False):
            result = audit(mdp, expert, walker(horizon, rope, 1))
            ratios[name].append(float(result.regret / result.bounds()["T²ε"]))
        ratios[names[-1]].append((horizon + 1) / (2 * horizon))
    return ratios


def cost_by_step(horizon: int, epsilon: float) -> dict[str, list[float]]:
    """E[c_t] for t = 1 … T if falls are recoverable; the area under each curve is J."""
    mdp = tightrope(horizon, climb=True)
    learners = {"cloning": walker(horizon, epsilon, 1), "DAgger": walker(horizon, epsilon, epsilon)}
    return {
        name: (state_distribution(mdp, policy)[..., None] * policy * mdp.cost)
        .sum((-2, -1))
        .tolist()
        for name, policy in learners.items()
    }


def random_mdps(
    rng: np.random.Generator, draws: int, horizon: int = 6, size: int = 4, actions: int = 3
) -> dict[str, Any]:
    """Check all bounds in ``draws`` random MDPs; a violation is a bug.

    Half of the experts are deterministic. Learners deviate from their expert with a random
    probability between 10⁻⁴ and 1 per step: a third follow a random policy, a third a random
    deterministic one, and a third take the most expensive action.

    Returns:
        ``draws``; ``broken``, violations by bound; ``largest_ratio``, the largest regret / bound.
    """
    broken: dict[str, int] = {}
    largest: dict[str, float] = {}
    for mdp, expert, learner in _experts_and_learners(rng, draws, horizon, size, actions):
        result = audit(mdp, expert, learner)
        for name, bound in result.bounds().items():
            ratio = np.divide(result.regret, bound, where=bound > 1e-12, out=np.zeros_like(bound))
            broken[name] = broken.get(name, 0) + int((result.regret > bound + 1e-9).sum())
            largest[name] = max(largest.get(name, 0.0), float(ratio.max()))
    return {"draws": draws, "broken": broken, "largest_ratio": largest}


def _experts_and_learners(
    rng: np.random.Generator, draws: int, horizon: int, size: int, actions: int
) -> list[tuple[MDP, Array, Array]]:
    cases = []
    for case, count in enumerate(np.diff(np.linspace(0, draws, 7).astype(int))):
        mdp = random_mdp(rng, horizon, size, actions, (count,))
        expert = random_policy(rng, mdp, deterministic=case % 2 == 0)
        worst = np.eye(actions)[action_values(mdp, expert).argmax(-1)]
        deviation = worst if case < 2 else random_policy(rng, mdp, deterministic=case < 4)
        rate = 10 ** rng.uniform(-4, 0, (count, 1, 1, 1))
        cases.append((mdp, expert, (1 - rate) * expert + rate * deviation))
    return cases


def _curve(
    names: tuple[str, str, str],
    horizons: list[int],
    mdp: Callable[[int], MDP],
    policy: Callable[[int], Array],
) -> RegretCurve:
    setting, learner, theorem = names
    regret, bound = [], []
    for horizon in horizons:
        result = audit(mdp(horizon), walker(horizon, rope=0, ground=0), policy(horizon))
        regret.append(float(result.regret))
        bound.append(float(result.bounds()[theorem]))
    slope = fit_slope(horizons, regret)
    return RegretCurve(setting, learner, "exact", horizons, regret, bound, theorem, slope)
