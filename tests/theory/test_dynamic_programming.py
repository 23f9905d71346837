"""Dynamic programming against enumeration of all trajectories, and against sampling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from agents.theory.bounds import cost_range, hellinger
from agents.theory.horizon import (
    action_values,
    disagreement,
    expected,
    log_loss,
    simulate,
    state_distribution,
    total_cost,
)
from agents.theory.mdps import MDP, Array, prefix_tree, random_mdp, random_policy
from textgen_env.errors import UserError


def trajectories(mdp: MDP) -> list[tuple[tuple[int, ...], tuple[int, ...], float, float]]:
    """(states, actions, product of the transition probabilities, cost) of every trajectory."""
    T, S, A = mdp.cost.shape
    possible = []
    for states in itertools.product(range(S), repeat=T):
        for actions in itertools.product(range(A), repeat=T):
            probability, cost = mdp.start[states[0]], 0.0
            for t in range(T):
                cost += mdp.cost[t, states[t], actions[t]]
                if t + 1 < T:
                    probability *= mdp.transition[t, states[t], actions[t], states[t + 1]]
            if probability > 0:
                possible.append((states, actions, probability, cost))
    return possible


def action_probability(policy: Array, states: tuple[int, ...], actions: tuple[int, ...]) -> float:
    return float(
        np.prod([policy[t, s, a] for t, (s, a) in enumerate(zip(states, actions, strict=True))])
    )


@pytest.mark.parametrize("deterministic", [True, False])
def test_dynamic_programming_equals_enumeration(deterministic: bool) -> None:
    rng = np.random.default_rng(3)
    mdp = random_mdp(rng, horizon=3, states=3, actions=2)
    expert = random_policy(rng, mdp, deterministic)
    learner = random_policy(rng, mdp, deterministic=False)
    visits, overlap, mean_cost, costs = np.zeros((3, 3)), 0.0, 0.0, []
    for states, actions, probability, cost in trajectories(mdp):
        p_learner = action_probability(learner, states, actions)
        p_expert = action_probability(expert, states, actions)
        visits[range(3), states] += probability * p_learner
        overlap += probability * np.sqrt(p_expert * p_learner)
        mean_cost += probability * p_learner * cost
        costs.append(cost)
    assert np.allclose(state_distribution(mdp, learner), visits)
    assert total_cost(mdp, learner) == pytest.approx(mean_cost)
    assert hellinger(mdp, expert, learner) == pytest.approx(2 - 2 * overlap)
    assert cost_range(mdp) == pytest.approx(max(costs) - min(costs))


def test_a_prefix_tree_equals_the_sum_over_all_texts() -> None:
    rng = np.random.default_rng(5)
    mdp = prefix_tree(rng, horizon=5, actions=3)
    policy, total, last = random_policy(rng, mdp, deterministic=False), 0.0, np.zeros(81)
    for text in itertools.product(range(3), repeat=5):
        probability, cost, prefix = 1.0, 0.0, 0
        for t, token in enumerate(text):
            probability *= policy[t, prefix, token]
            last[prefix] += probability if t == 4 else 0
            cost += mdp.cost[t, prefix, token]
            prefix = prefix * 3 + token
        total += probability * cost
    assert total_cost(mdp, policy) == pytest.approx(total)
    assert np.allclose(state_distribution(mdp, policy)[-1], last)


@pytest.mark.parametrize("seed", range(5))
def test_dynamic_programming_agrees_with_monte_carlo(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for mdp in (random_mdp(rng, 12, 5, 3), prefix_tree(rng, 6, 2)):
        policy = random_policy(rng, mdp, deterministic=False)
        costs = simulate(mdp, policy, 20_000, rng)
        assert abs(costs.mean() - total_cost(mdp, policy)) < 4 * costs.std() / np.sqrt(len(costs))


def test_the_performance_difference_lemma_holds() -> None:
    rng = np.random.default_rng(7)
    mdp = random_mdp(rng, 9, 6, 4, batch=(50,))
    expert, learner = (random_policy(rng, mdp, deterministic=False) for _ in range(2))
    q, states = action_values(mdp, expert), state_distribution(mdp, learner)
    difference = (states[..., None] * (learner - expert) * q).sum((-3, -2, -1))
    assert np.allclose(total_cost(mdp, learner) - total_cost(mdp, expert), difference)


def test_losses_match_their_definitions() -> None:
    expert = np.array([[[1.0, 0.0], [0.0, 1.0]]])  # [T = 1, S = 2, A = 2]
    learner = np.array([[[0.75, 0.25], [1.0, 0.0]]])
    assert np.allclose(disagreement(expert, learner), [[0.25, 1]])
    assert np.allclose(disagreement(learner, learner), 0)
    assert np.allclose(log_loss(expert, learner), [[-np.log(0.75), np.inf]])


def test_only_visited_states_count_in_an_expected_loss() -> None:
    loss = np.array([[2.0, np.inf]])
    assert np.allclose(expected(np.array([[1.0, 0.0]]), loss), 2)
    assert np.isinf(expected(np.array([[0.5, 0.5]]), loss))


def test_invalid_mdps_raise() -> None:
    mdp = random_mdp(np.random.default_rng(0), 3, 2, 2)
    with pytest.raises(UserError, match="every row of transition must be nonnegative"):
        MDP(mdp.start, mdp.transition * 0.9, mdp.cost)
    with pytest.raises(UserError, match=r"every cost must be in \[0, 1\]"):
        MDP(mdp.start, mdp.transition, mdp.cost * 2)
