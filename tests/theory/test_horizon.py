"""The T² laboratory: dynamic programming against enumeration and sampling, theorems on thousands of draws, seen to fail."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.algorithms.schedules import beta_schedule
from agents.theory import lab, mixtures
from agents.theory.bounds import (
    audit,
    cloning_regret,
    cost_range,
    hellinger,
    recoverability,
    roll_in,
)
from agents.theory.horizon import (
    action_values,
    disagreement,
    expected,
    log_loss,
    simulate,
    states,
    total_cost,
)
from agents.theory.mdps import MDP, Array, prefix_tree, random_mdp, random_policy, tightrope, walker
from textgen_env.errors import UserError

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


def trajectories(mdp: MDP) -> list[tuple[tuple[int, ...], tuple[int, ...], float, float]]:
    """(states, actions, probability of the setting's part, total cost) of every trajectory, one by one."""
    T, S, A = mdp.cost.shape
    found = []
    for path, actions in itertools.product(
        itertools.product(range(S), repeat=T), itertools.product(range(A), repeat=T)
    ):
        chance, cost = mdp.start[path[0]], 0.0
        for t in range(T):
            cost += mdp.cost[t, path[t], actions[t]]
            if t + 1 < T:
                chance *= mdp.transition[t, path[t], actions[t], path[t + 1]]
        if chance > 0:
            found.append((path, actions, chance, cost))
    return found


def chosen(policy: Array, path: tuple[int, ...], actions: tuple[int, ...]) -> float:
    return float(
        np.prod([policy[t, s, a] for t, (s, a) in enumerate(zip(path, actions, strict=True))])
    )


@pytest.mark.parametrize("deterministic", [True, False])
def test_dynamic_programming_is_enumeration(deterministic: bool) -> None:
    rng = np.random.default_rng(3)
    mdp = random_mdp(rng, horizon=3, states=3, actions=2)
    expert, learner = (
        random_policy(rng, mdp, deterministic),
        random_policy(rng, mdp, deterministic=False),
    )
    every = trajectories(mdp)
    visits, overlap = np.zeros((3, 3)), 0.0
    for path, actions, chance, _ in every:
        visits[range(3), path] += chance * chosen(learner, path, actions)
        overlap += chance * np.sqrt(chosen(expert, path, actions) * chosen(learner, path, actions))
    costs = [cost for *_, cost in every]
    assert np.allclose(states(mdp, learner), visits)
    assert total_cost(mdp, learner) == pytest.approx(
        sum(c * chosen(learner, s, a) * cost for s, a, c, cost in every)
    )
    assert hellinger(mdp, expert, learner) == pytest.approx(2 - 2 * overlap)
    assert cost_range(mdp) == pytest.approx(max(costs) - min(costs))


def test_prefix_tree_is_the_sum_over_all_texts() -> None:
    rng = np.random.default_rng(5)
    mdp = prefix_tree(rng, horizon=5, actions=3)
    policy, total, last = random_policy(rng, mdp, deterministic=False), 0.0, np.zeros(81)
    for text in itertools.product(range(3), repeat=5):
        chance, cost, prefix = 1.0, 0.0, 0
        for t, token in enumerate(text):
            last[prefix] += chance * policy[t, prefix, token] if t == 4 else 0
            chance, cost, prefix = (
                chance * policy[t, prefix, token],
                cost + mdp.cost[t, prefix, token],
                prefix * 3 + token,
            )
        total += chance * cost
    assert total_cost(mdp, policy) == pytest.approx(total)
    assert np.allclose(states(mdp, policy)[-1], last)


@pytest.mark.parametrize("seed", range(5))
def test_dynamic_programming_is_inside_monte_carlos_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for mdp in (random_mdp(rng, 12, 5, 3), prefix_tree(rng, 6, 2)):
        policy = random_policy(rng, mdp, deterministic=False)
        costs = simulate(mdp, policy, 20_000, rng)
        assert abs(costs.mean() - total_cost(mdp, policy)) < 4 * costs.std() / np.sqrt(len(costs))


def test_performance_difference_is_the_same_by_either_route() -> None:
    rng = np.random.default_rng(7)
    mdp = random_mdp(rng, 9, 6, 4, batch=(50,))
    expert, learner = (
        random_policy(rng, mdp, deterministic=False),
        random_policy(rng, mdp, deterministic=False),
    )
    through_q = (
        states(mdp, learner)[..., None] * (learner - expert) * action_values(mdp, expert)
    ).sum((-3, -2, -1))
    assert np.allclose(total_cost(mdp, learner) - total_cost(mdp, expert), through_q)


@settings(max_examples=600, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(2, 4)),
    exponent=st.floats(-5, 0),
    expert_is=st.booleans(),
    other_is=st.booleans(),
    tree=st.booleans(),
)
def test_every_bound_holds(
    seed: int,
    size: tuple[int, int, int],
    exponent: float,
    expert_is: bool,
    other_is: bool,
    tree: bool,
) -> None:
    rng, (horizon, width, actions) = np.random.default_rng(seed), size
    mdp = (
        prefix_tree(rng, min(horizon, 4), actions)
        if tree
        else random_mdp(rng, horizon, width, actions)
    )
    expert, other = random_policy(rng, mdp, expert_is), random_policy(rng, mdp, other_is)
    found = audit(mdp, expert, (1 - 10**exponent) * expert + 10**exponent * other)
    for name, bound in found.bounds().items():
        assert found.regret <= bound + 1e-9, name
    assert found.recoverability <= found.cost_range + 1e-9 <= found.horizon + 2e-9


def test_no_bound_is_broken_in_thousands_of_random_mdps() -> None:
    found = lab.random_mdps(np.random.default_rng(0), 6000)
    assert set(found["broken"].values()) == {0}
    assert max(found["largest_ratio"].values()) <= 1
    assert found["largest_ratio"]["uTε"] > 0.6  # not vacuous: half of u would break it


def test_every_bound_holds_on_thousands_of_tightropes() -> None:
    rng = np.random.default_rng(1)
    for horizon, climb in itertools.product((1, 2, 7, 30), (False, True)):
        rope = rng.random((1000, horizon)) * 10 ** rng.uniform(-4, 0, (1000, 1))
        found = audit(
            tightrope(horizon, climb),
            walker(horizon, 0, 0),
            walker(horizon, rope, rng.random((1000, 1)) ** 0.2),
        )
        for name, bound in found.bounds().items():
            assert (found.regret <= bound + 1e-9).all(), name


@pytest.mark.parametrize("horizon", [8, 100, 1024])
def test_every_bound_is_attained_so_that_an_error_understated_by_a_hundredth_breaks_it(
    horizon: int,
) -> None:
    epsilon, forever, expert = 1e-7, tightrope(horizon, climb=False), walker(horizon, 0, 0)
    at_first = audit(forever, expert, walker(horizon, epsilon * np.eye(horizon)[0], 1))
    evenly = audit(forever, expert, walker(horizon, epsilon, 1))
    again = audit(
        tightrope(horizon, climb=True),
        expert,
        walker(horizon, epsilon * np.eye(horizon)[0], epsilon),
    )
    for found, name in (
        (at_first, "T²ε"),
        (at_first, "R·D²"),
        (at_first, "R·log loss"),
        (evenly, "Σ(T−t)ε_t"),
        (again, "uTε"),
    ):
        assert 0.99 * found.bounds()[name] < found.regret <= found.bounds()[name] + 1e-12, name
    assert evenly.regret > evenly.bounds()["T²ε"] / 2


def test_each_theorem_needs_its_own_states() -> None:
    """Cloning's error is measured where the expert goes; put into DAgger's bound it promises too much."""
    found = audit(tightrope(100, climb=True), walker(100, 0, 0), walker(100, 1e-3, 1))
    assert found.regret > found.recoverability * found.zero_one_expert.sum()
    assert found.regret <= found.recoverability * found.zero_one_learner.sum()


def test_a_stochastic_expert_needs_the_wider_u_and_the_root_of_hellinger() -> None:
    """Two actions of cost 0 and 1, an expert that tosses a coin: Q* − V* = ½ is too small, and so is D² for a small lean."""
    mdp = MDP(np.ones(1), np.ones((1, 1, 2, 1)), np.array([[[0.0, 1.0]]]))
    expert = np.full((1, 1, 2), 0.5)
    always, leaning = np.array([[[0.0, 1.0]]]), np.array([[[0.45, 0.55]]])
    found = audit(mdp, expert, always)
    advantage = action_values(mdp, expert).max() - (expert * action_values(mdp, expert)).sum()
    assert found.regret > advantage * found.zero_one_learner.sum()
    assert found.regret == pytest.approx(found.bounds()["uTε"])
    found = audit(mdp, expert, leaning)
    assert found.cost_range * found.hellinger < found.regret
    assert 0.99 * found.bounds()["R·D"] < found.regret <= found.bounds()["R·D"]
    assert found.bounds()["R·D²"] == np.inf


def test_recoverability_of_the_tightropes() -> None:
    for horizon in (2, 9, 64):
        assert recoverability(tightrope(horizon, climb=False), walker(horizon, 0, 0)) == horizon
        assert recoverability(tightrope(horizon, climb=True), walker(horizon, 0, 0)) == 2
    stay, cost = np.repeat(np.eye(2)[:, None], 2, axis=1), np.array([[0.0, 0.0], [0.0, 1.0]])
    apart = MDP(np.eye(2)[0], np.broadcast_to(stay, (3, 2, 2, 2)), np.broadcast_to(cost, (3, 2, 2)))
    assert recoverability(apart, walker(3, 0, 0)) == 0  # the costly state cannot be reached


def test_regret_in_closed_form() -> None:
    for horizon, epsilon in itertools.product((1, 8, 1024), (1e-6, 1e-3, 0.3)):
        expert = walker(horizon, 0, 0)
        fallen = audit(
            tightrope(horizon, climb=False), expert, walker(horizon, epsilon, 1, actions=2)
        )
        climbed = audit(tightrope(horizon, climb=True), expert, walker(horizon, epsilon, epsilon))
        assert fallen.regret == pytest.approx(cloning_regret(horizon, epsilon), rel=1e-6)
        assert climbed.regret == pytest.approx(epsilon + (horizon - 1) * (2 * epsilon - epsilon**2))
        if epsilon == 1e-6:
            assert fallen.regret / fallen.bounds()["T²ε"] == pytest.approx(
                (horizon + 1) / (2 * horizon), rel=1e-3
            )


def test_slopes() -> None:
    steps = lab.horizons(8, 1024)
    curves = (*lab.horizon_curves(steps, 1e-4), *lab.horizon_free(steps, 10_000))
    slope = {(curve.setting, curve.learner): curve.slope for curve in curves}
    assert steps[-1] == 1024
    for key, value in {
        ("climb back", "cloning"): 2,
        ("climb back", "DAgger"): 1,
        ("for ever", "cloning"): 2,
        ("for ever", "DAgger"): 2,  # what cannot be undone, no labels undo
        ("for ever, R = 1", "one policy for all"): 0,
        ("for ever, R = 1", "a policy each step"): 1,
    }.items():
        assert slope[key].value == pytest.approx(value, abs=0.04), key
        assert slope[key].low <= slope[key].value <= slope[key].high
    guess = slope["climb back", "cloning, guessing"]
    assert guess.high > 1.8  # while T is well below the vocabulary's size
    assert guess.low < 1.15  # and far beyond it
    assert lab.fit_slope([2, 4, 8], [3 * T**1.5 for T in (2, 4, 8)]) == pytest.approx(
        (1.5, 1.5, 1.5)
    )


@pytest.mark.parametrize("share", [0.0, 0.1, 0.7, 1.0])
def test_how_far_a_roll_in_is_from_the_learners_own_states(share: float) -> None:
    rng = np.random.default_rng(2)
    mdp = prefix_tree(rng, 6, 3, batch=(40,))
    expert, learner = (
        random_policy(rng, mdp, deterministic=True),
        random_policy(rng, mdp, deterministic=False),
    )
    done, own = np.arange(6), states(mdp, learner)

    def distance(granularity: str, learner: Array) -> Array:
        return (
            abs(roll_in(mdp, expert, learner, share, granularity) - states(mdp, learner)).sum(-1)
            / 2
        )  # [40, T]

    assert (distance("step", learner) <= 1 - (1 - share) ** done + 1e-12).all()
    assert (distance("sequence", learner) <= share + 1e-12).all()
    opposite = np.roll(
        expert, 1, axis=-1
    )  # never agrees, and no text with a token of the expert's is the learner's
    assert np.allclose(distance("step", opposite), 1 - (1 - share) ** done)
    assert np.allclose(distance("sequence", opposite)[:, 1:], share)
    if share in (0, 1):
        assert np.allclose(
            roll_in(mdp, expert, learner, share, "step"), states(mdp, expert) if share else own
        )


def test_population_imitation_is_softmax_gradient_descent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The margin's one-number update against all V logits, each moved by its own gradient."""
    monkeypatch.setattr(mixtures, "SCHEDULES", {"one": ("exponential", 0.2)})
    found = mixtures.train(7, "step", 1, np.random.default_rng(0), mixtures.Descent(5, 2.0, 5))
    mdp, expert, logits = (
        tightrope(7, climb=True, actions=5),
        walker(7, 0, 0, actions=5),
        np.zeros((2, 5)),
    )
    for step in range(6):
        policy = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        visits = roll_in(
            mdp,
            expert,
            np.broadcast_to(policy, (7, 2, 5)),
            beta_schedule("exponential", 0.2)(step / 5),
            "step",
        ).mean(0)
        logits = logits + 2.0 * visits[:, None] * (expert[0] - policy)
    assert np.allclose(found[0, 0], 1 - policy[:, 0])


def test_mixtures() -> None:
    rows = {
        (row["schedule"], row["granularity"]): row
        for row in mixtures.sweep(np.random.default_rng(0), horizon=16, coins=8)
    }
    for schedule in mixtures.SCHEDULES:
        step, sequence, batch = (
            rows[schedule, granularity] for granularity in ("step", "sequence", "batch")
        )
        # A coin a step picks the learner up before it has to learn how.
        assert sequence["error_on_ground"] <= step["error_on_ground"]
        assert batch["low"] <= batch["regret"] <= batch["high"]
        assert sequence["low"] == pytest.approx(sequence["high"])
    assert (
        rows["constant 1 (cloning)", "step"]["error_on_ground"] == 63 / 64
    )  # never shown, never learnt
    assert rows["constant 0", "step"]["regret"] == pytest.approx(
        rows["constant 0", "batch"]["regret"]
    )
    assert rows["linear to 0", "sequence"]["regret"] < rows["linear to 0", "step"]["regret"] / 1.2


def test_losses() -> None:
    expert, learner = (
        np.array([[[1.0, 0.0], [0.0, 1.0]]]),
        np.array([[[0.75, 0.25], [1.0, 0.0]]]),
    )  # [T = 1, S = 2, A = 2]
    assert np.allclose(disagreement(expert, learner), [[0.25, 1]])
    assert np.allclose(log_loss(expert, learner), [[-np.log(0.75), np.inf]])
    assert np.allclose(expected(np.array([[1.0, 0.0]]), log_loss(expert, learner)), -np.log(0.75))
    assert np.isinf(expected(np.array([[0.5, 0.5]]), log_loss(expert, learner)))
    assert np.allclose(disagreement(learner, learner), 0)


def test_mistakes_are_named() -> None:
    mdp = tightrope(3, climb=True)
    with pytest.raises(UserError, match="transition is not a distribution"):
        MDP(mdp.start, mdp.transition * 0.9, mdp.cost)
    with pytest.raises(UserError, match=r"outside \[0, 1\]"):
        MDP(mdp.start, mdp.transition, mdp.cost * 2)
    with pytest.raises(UserError, match="did you mean 'sequence'"):
        roll_in(mdp, walker(3, 0, 0), walker(3, 1, 1), 0.5, "sequences")
    with pytest.raises(UserError, match="three doubled horizons"):
        lab.horizons(8, 16)


def test_the_script_writes_its_figure_and_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import cli
    import t2_bound

    words = [
        "shortest=4",
        "longest=16",
        "epsilon=0.001",
        "mdps=60",
        "neural=false",
        f"out={tmp_path / 'new'}",
    ]
    t2_bound.main(cli.read("t2_bound", words))
    results = json.loads((tmp_path / "new" / "t2_bound.json").read_text())
    assert results["settings"]["epsilon"] == 0.001
    curve = next(curve for curve in results["curves"] if curve["learner"] == "cloning")
    assert curve["regret"] == pytest.approx(cloning_regret(np.array(curve["horizon"]), 0.001))
    assert sum(results["cost_by_step"]["cloning"]) == pytest.approx(curve["regret"][-1])
    header = (tmp_path / "new" / "t2_bound.png").read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert header[16:] == (1920).to_bytes(4) + (1080).to_bytes(4)
    for wrong in ("epsilon=1", "mdps=0", "longest=9", "neural_epsilon=0", "neural_seeds=1"):
        with pytest.raises(UserError, match=wrong.partition("=")[0]):
            t2_bound.main(cli.read("t2_bound", [wrong, f"out={tmp_path}"]))
    with pytest.raises(UserError, match="did you mean 'epsilon'"):
        cli.read("t2_bound", ["epsilonn=0.1"])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="name a folder that can be written"):
        t2_bound.main(cli.read("t2_bound", ["neural=false", f"out={tmp_path / 'file'}"]))
