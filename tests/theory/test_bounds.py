"""Every upper bound of the regret holds in many MDPs, is attained, and needs its assumptions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.theory import lab
from agents.theory.bounds import audit, cloning_regret, recoverability, roll_in
from agents.theory.horizon import action_values, state_distribution
from agents.theory.mdps import MDP, Array, prefix_tree, random_mdp, random_policy, tightrope, walker
from textgen_env.errors import UserError


@settings(max_examples=600, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(2, 4)),
    exponent=st.floats(-5, 0),
    deterministic=st.tuples(st.booleans(), st.booleans()),
    tree=st.booleans(),
)
def test_every_bound_holds(
    seed: int,
    size: tuple[int, int, int],
    exponent: float,
    deterministic: tuple[bool, bool],
    tree: bool,
) -> None:
    rng, (horizon, states, actions) = np.random.default_rng(seed), size
    if tree:
        mdp = prefix_tree(rng, min(horizon, 4), actions)
    else:
        mdp = random_mdp(rng, horizon, states, actions)
    expert, deviation = (random_policy(rng, mdp, value) for value in deterministic)
    result = audit(mdp, expert, (1 - 10**exponent) * expert + 10**exponent * deviation)
    for name, bound in result.bounds().items():
        assert result.regret <= bound + 1e-9, name
    assert result.recoverability <= result.cost_range + 1e-9 <= result.horizon + 2e-9


def test_no_bound_is_violated_in_thousands_of_random_mdps() -> None:
    results = lab.random_mdps(np.random.default_rng(0), 6000)
    assert set(results["broken"].values()) == {0}
    assert max(results["largest_ratio"].values()) <= 1
    assert results["largest_ratio"]["uTε"] > 0.6  # with half of u the bound would be violated


@pytest.mark.parametrize("climb", [False, True])
@pytest.mark.parametrize("horizon", [1, 2, 7, 30])
def test_every_bound_holds_on_thousands_of_tightropes(horizon: int, climb: bool) -> None:
    rng = np.random.default_rng(1)
    rope = rng.random((1000, horizon)) * 10 ** rng.uniform(-4, 0, (1000, 1))
    learner = walker(horizon, rope, rng.random((1000, 1)) ** 0.2)
    result = audit(tightrope(horizon, climb), walker(horizon, 0, 0), learner)
    for name, bound in result.bounds().items():
        assert (result.regret <= bound + 1e-9).all(), name


@pytest.mark.parametrize("horizon", [8, 100, 1024])
def test_every_bound_is_attained_within_one_percent(horizon: int) -> None:
    epsilon, expert = 1e-7, walker(horizon, 0, 0)
    first = epsilon * np.eye(horizon)[0]
    permanent, recoverable = (tightrope(horizon, climb) for climb in (False, True))
    at_first = audit(permanent, expert, walker(horizon, first, 1))
    evenly = audit(permanent, expert, walker(horizon, epsilon, 1))
    climbing = audit(recoverable, expert, walker(horizon, first, epsilon))
    for result, name in (
        *((at_first, "T²ε"), (at_first, "R·D²"), (at_first, "R·log loss")),
        *((evenly, "Σ(T−t)ε_t"), (climbing, "uTε")),
    ):
        assert 0.99 * result.bounds()[name] < result.regret <= result.bounds()[name] + 1e-12, name
    assert evenly.regret > evenly.bounds()["T²ε"] / 2


def test_the_dagger_bound_fails_with_the_error_on_the_experts_states() -> None:
    result = audit(tightrope(100, climb=True), walker(100, 0, 0), walker(100, 1e-3, 1))
    assert result.regret > result.recoverability * result.zero_one_expert.sum()
    assert result.regret <= result.recoverability * result.zero_one_learner.sum()


def test_a_stochastic_expert_needs_the_larger_u_and_the_root_of_the_hellinger_distance() -> None:
    """The expert takes two actions of cost 0 and 1 equally often."""
    mdp = MDP(np.ones(1), np.ones((1, 1, 2, 1)), np.array([[[0.0, 1.0]]]))
    expert = np.full((1, 1, 2), 0.5)
    q = action_values(mdp, expert)
    advantage = q.max() - (expert * q).sum()  # Q* − V* = ½
    result = audit(mdp, expert, np.array([[[0.0, 1.0]]]))
    assert result.regret > advantage * result.zero_one_learner.sum()
    assert result.regret == pytest.approx(result.bounds()["uTε"])
    result = audit(mdp, expert, np.array([[[0.45, 0.55]]]))
    assert result.cost_range * result.hellinger < result.regret
    assert 0.99 * result.bounds()["R·D"] < result.regret <= result.bounds()["R·D"]
    assert result.bounds()["R·D²"] == np.inf


@pytest.mark.parametrize("horizon", [2, 9, 64])
def test_recoverability_is_2_if_falls_are_recoverable_and_otherwise_the_horizon(
    horizon: int,
) -> None:
    expert = walker(horizon, 0, 0)
    assert recoverability(tightrope(horizon, climb=False), expert) == horizon
    assert recoverability(tightrope(horizon, climb=True), expert) == 2


def test_unreachable_states_do_not_count_for_recoverability() -> None:
    stay, cost = np.repeat(np.eye(2)[:, None], 2, axis=1), np.array([[0.0, 0.0], [0.0, 1.0]])
    transition = np.broadcast_to(stay, (3, 2, 2, 2))
    mdp = MDP(np.eye(2)[0], transition, np.broadcast_to(cost, (3, 2, 2)))
    assert recoverability(mdp, walker(3, 0, 0)) == 0


@pytest.mark.parametrize("epsilon", [1e-6, 1e-3, 0.3])
@pytest.mark.parametrize("horizon", [1, 8, 1024])
def test_regret_on_a_tightrope_matches_its_closed_form(horizon: int, epsilon: float) -> None:
    expert = walker(horizon, 0, 0)
    permanent = audit(tightrope(horizon, climb=False), expert, walker(horizon, epsilon, 1))
    recoverable = audit(tightrope(horizon, climb=True), expert, walker(horizon, epsilon, epsilon))
    assert permanent.regret == pytest.approx(cloning_regret(horizon, epsilon), rel=1e-6)
    closed_form = epsilon + (horizon - 1) * (2 * epsilon - epsilon**2)
    assert recoverable.regret == pytest.approx(closed_form)
    if epsilon == 1e-6:
        limit = (horizon + 1) / (2 * horizon)
        assert permanent.regret / permanent.bounds()["T²ε"] == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.7, 1.0])
def test_the_distance_of_a_roll_in_to_the_learners_states_is_bounded(beta: float) -> None:
    rng = np.random.default_rng(2)
    mdp = prefix_tree(rng, 6, 3, batch=(40,))
    expert = random_policy(rng, mdp, deterministic=True)
    learner = random_policy(rng, mdp, deterministic=False)
    t = np.arange(6)

    def distance(granularity: str, learner: Array) -> Array:
        mixed = roll_in(mdp, expert, learner, beta, granularity)
        return abs(mixed - state_distribution(mdp, learner)).sum(-1) / 2  # [40, T]

    assert (distance("step", learner) <= 1 - (1 - beta) ** t + 1e-12).all()
    assert (distance("sequence", learner) <= beta + 1e-12).all()
    opposite = np.roll(expert, 1, axis=-1)  # never agrees, so the bounds are attained
    assert np.allclose(distance("step", opposite), 1 - (1 - beta) ** t)
    assert np.allclose(distance("sequence", opposite)[:, 1:], beta)


@pytest.mark.parametrize(("beta", "acting"), [(0.0, "learner"), (1.0, "expert")])
def test_extreme_values_of_beta_leave_one_policy(beta: float, acting: str) -> None:
    rng = np.random.default_rng(2)
    mdp = random_mdp(rng, 6, 4, 3)
    policies = {
        name: random_policy(rng, mdp, deterministic=False) for name in ("expert", "learner")
    }
    for granularity in ("step", "sequence", "batch"):
        mixed = roll_in(mdp, policies["expert"], policies["learner"], beta, granularity)
        assert np.allclose(mixed, state_distribution(mdp, policies[acting]))


def test_an_unknown_granularity_raises() -> None:
    with pytest.raises(UserError, match="did you mean 'sequence'"):
        roll_in(tightrope(3, climb=True), walker(3, 0, 0), walker(3, 1, 1), 0.5, "sequences")
