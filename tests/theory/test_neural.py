"""Trained students in Tightrope-v0: sampled regret against dynamic programming."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import cli
import t2_bound
from agents.generation.decoding import allowed_log_probs
from agents.theory import neural
from agents.theory.horizon import total_cost
from agents.theory.mdps import MDP, Array
from textgen_env.tasks import tightrope
from textgen_env.tasks.tightrope import CLIMB
from textgen_env.types import EOS, Policy

T, EPSILON = 8, 0.02
TASK = tightrope.load(horizon=T, slip=EPSILON, train=200)
ROPE, GROUND, OVER = range(3)
STAY, FALL, UP, END = range(4)  # on the rope: correct foot, incorrect token, needless climb, EOS


def text_tightrope() -> MDP:
    """Tightrope-v0 as a table: a needless climb costs one step, and EOS ends all costs."""
    next_state = np.full((3, 4), OVER)
    next_state[ROPE, :3] = ROPE, GROUND, ROPE
    next_state[GROUND, :3] = GROUND, GROUND, ROPE
    cost = np.array([[0.0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
    transition = np.broadcast_to(np.eye(3)[next_state], (T, 3, 4, 3))
    return MDP(np.eye(3)[ROPE], transition, np.broadcast_to(cost, (T, 3, 4)))


def mean_policy(episodes: neural.SampledEpisodes) -> Array:
    """The student's mean policy by step and state, ``[T, 3, 4]``."""
    policy = np.zeros((T, 3, 4))
    policy[:, OVER, END] = 1
    correct = 1 - episodes.error_probs
    up, end = episodes.probs[..., CLIMB], episodes.probs[..., EOS]
    for state, fallen in ((ROPE, False), (GROUND, True)):
        mask = episodes.mask & (episodes.fallen == fallen)
        stay = correct if state == ROPE else torch.zeros_like(correct)
        actions = torch.stack([stay, 1 - stay - up - end, up, end], -1)
        for t in range(T):
            rows = actions[mask[:, t], t].double()
            policy[t, state] = rows.mean(0).numpy() if len(rows) else np.eye(4)[UP]
    return policy / policy.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def students() -> dict[str, Policy]:
    return {
        name: neural.train_student(
            TASK,
            partial(neural.tightrope_algorithm, name, label_epsilon=EPSILON),
            seed=0,
            steps=100,
        )
        for name in neural.LEARNERS
    }


@pytest.mark.parametrize("name", ["bc", "dagger"])
def test_sampled_regret_equals_that_of_the_mean_policy(
    students: dict[str, Policy], name: str
) -> None:
    episodes = neural.sample_episodes(students[name], TASK, 6000, seed=1)
    costs = episodes.fallen | (episodes.action != episodes.expert_action)
    cost = (costs & episodes.mask).sum(1).double().numpy()
    exact = total_cost(text_tightrope(), mean_policy(episodes))
    error = cost.std() / np.sqrt(len(cost))
    assert exact > 0.02  # the student makes mistakes
    assert abs(cost.mean() - exact) < 4 * error
    metrics = neural.evaluate_student(students[name], TASK, name, seed=2)
    assert abs(metrics.regret - exact) < 5 * error


def test_only_dagger_recovers_from_a_fall(students: dict[str, Policy]) -> None:
    bc, dagger = (
        neural.evaluate_student(students[name], TASK, name, seed=0) for name in ("bc", "dagger")
    )
    assert bc.error_expert == pytest.approx(EPSILON, rel=0.3)
    assert bc.error_fallen > 0.95
    assert dagger.error_fallen < 0.6
    assert dagger.error_own < bc.error_own
    for metrics in (bc, dagger):
        assert metrics.regret <= 1.1 * metrics.bound  # 10 % for sampling


def test_a_perfectly_fitted_student_errs_with_epsilon() -> None:
    size = len(TASK.vocabulary)
    label_epsilon = neural.label_error(EPSILON, size)
    probs = torch.full((1, size), label_epsilon / (size - 1))
    probs[0, CLIMB] = 1 - label_epsilon
    assert 1 - allowed_log_probs(probs.log()).exp()[0, CLIMB] == pytest.approx(EPSILON)


def test_the_slope_of_a_power_law_is_its_exponent() -> None:
    horizons = [4, 8, 16, 32]
    regret = np.array(horizons, float)[:, None] ** 1.5 * np.ones((1, 3))
    assert neural.fit_slope_over_seeds(horizons, regret) == pytest.approx((1.5, 1.5, 1.5))


def test_the_interval_of_the_slope_has_its_nominal_coverage() -> None:
    rng, horizons = np.random.default_rng(0), [4, 8, 16, 32]
    covered = 0
    for _ in range(200):
        regret = np.array(horizons)[:, None] ** 1.5 * np.exp(rng.normal(0, 0.3, (4, 3)))
        slope = neural.fit_slope_over_seeds(horizons, regret)
        covered += slope.low < 1.5 < slope.high
    assert 180 <= covered <= 199  # 95 % of 200, within three standard deviations


def test_the_script_trains_students_and_writes_their_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neural, "STEPS", 5)
    monkeypatch.setattr(neural, "TEST_TOKENS", 4096)
    overrides = ["shortest=4", "longest=16", "mdps=60", "neural_shortest=2", "neural_longest=8"]
    t2_bound.main(cli.read("t2_bound", [*overrides, "neural_seeds=2", f"out={tmp_path}"]))
    results = json.loads((tmp_path / "t2_bound.json").read_text())
    curves = {(curve["learner"], curve["kind"]): curve for curve in results["curves"]}
    students = results["students"]
    assert len(students) == 2 * 3 * 2
    for name, learner in neural.LEARNERS.items():
        curve, exact = curves[learner, "neural"], curves[learner, "exact, as neural"]
        assert curve["horizon"] == exact["horizon"] == [2, 4, 8]
        regrets = [
            row["regret"] for row in students if (row["learner"], row["horizon"]) == (name, 8)
        ]
        assert curve["regret"][-1] == pytest.approx(np.mean(regrets))
        assert curve["slope"]["low"] < curve["slope"]["value"] < curve["slope"]["high"]
