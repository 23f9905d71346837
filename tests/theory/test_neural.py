"""Trained students in the laboratory's task: their sampled regret against dynamic programming, and the script's own curves."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.generation.decoding import allowed_log_probs
from agents.theory import neural
from agents.theory.horizon import total_cost
from agents.theory.mdps import MDP, Array
from textgen_env.tasks import tightrope
from textgen_env.tasks.tightrope import CLIMB
from textgen_env.types import EOS, Policy

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
T, EPSILON = 8, 0.02
TASK = tightrope.load(horizon=T, slip=EPSILON, train=200)
ROPE, GROUND, OVER = range(3)
STAY, FALL, UP, END = range(4)  # on the rope: the right foot, a wrong word, a needless climb, EOS


def rope_of_text() -> MDP:
    """The tightrope with what text adds: a needless climb that costs one step, and an end that nothing is paid after."""
    after = np.full((3, 4), OVER)
    after[ROPE, :3] = ROPE, GROUND, ROPE
    after[GROUND, :3] = GROUND, GROUND, ROPE
    cost = np.array([[0.0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
    return MDP(
        np.eye(3)[ROPE],
        np.broadcast_to(np.eye(3)[after], (T, 3, 4, 3)),
        np.broadcast_to(cost, (T, 3, 4)),
    )


def table_of(episodes: neural.Episodes) -> Array:
    """The mean policy ``[T, 3, 4]`` on the rope and on the ground at every step: a table that errs as the student does."""
    policy = np.zeros((T, 3, 4))
    policy[:, OVER, END] = 1
    stay = episodes.chance.gather(-1, episodes.right[..., None])[..., 0]
    up, end = episodes.chance[..., CLIMB], episodes.chance[..., EOS]
    for state, fallen in ((ROPE, False), (GROUND, True)):
        taken = episodes.taken & (episodes.fallen == fallen)
        right = stay if state == ROPE else torch.zeros_like(stay)
        actions = torch.stack([right, 1 - right - up - end, up, end], -1)
        for t in range(T):
            rows = actions[taken[:, t], t].double()
            policy[t, state] = rows.mean(0).numpy() if len(rows) else np.eye(4)[UP]
    return policy / policy.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def students() -> dict[str, Policy]:
    return {
        name: neural.student(
            TASK, partial(neural.algorithm, name, epsilon=EPSILON), seed=0, steps=100
        )
        for name in neural.LEARNERS
    }


@pytest.mark.parametrize("name", ["bc", "dagger"])
def test_sampled_regret_is_that_of_a_table_that_errs_alike(
    students: dict[str, Policy], name: str
) -> None:
    episodes = neural.sample_episodes(students[name], TASK, 6000, seed=1)
    cost = (
        ((episodes.fallen | (episodes.action != episodes.right)) & episodes.taken)
        .sum(1)
        .double()
        .numpy()
    )
    exact = total_cost(rope_of_text(), table_of(episodes))
    assert abs(cost.mean() - exact) < 4 * cost.std() / np.sqrt(len(cost))
    expected = neural.measure(students[name], TASK, name, seed=2)
    assert abs(expected.regret - exact) < 5 * cost.std() / np.sqrt(len(cost))
    assert exact > 0.02  # it does err


def test_students_err_as_their_labels_and_only_dagger_knows_the_way_back(
    students: dict[str, Policy],
) -> None:
    clone, dagger = (
        neural.measure(students[name], TASK, name, seed=0) for name in ("bc", "dagger")
    )
    assert clone.error_expert == pytest.approx(EPSILON, rel=0.3)
    assert clone.error_ground > 0.95
    assert dagger.error_ground < 0.6
    assert dagger.error_own < clone.error_own
    for found in (clone, dagger):
        assert found.regret <= 1.1 * found.bound  # the theorems; a tenth for sampling


def test_a_perfect_student_of_the_labels_errs_with_epsilon() -> None:
    size, label = len(TASK.vocabulary), neural.label_error(EPSILON, len(TASK.vocabulary))
    log_probs = (
        torch.full((1, size), label / (size - 1))
        .index_fill(1, torch.tensor([CLIMB]), 1 - label)
        .log()
    )
    assert 1 - allowed_log_probs(log_probs).exp()[0, CLIMB] == pytest.approx(EPSILON)


def test_slope_and_its_interval() -> None:
    rng, horizons = np.random.default_rng(0), [4, 8, 16, 32]
    exact = np.array(horizons, float)[:, None] ** 1.5 * np.ones((1, 3))
    assert neural.fit_slope(horizons, exact) == pytest.approx((1.5, 1.5, 1.5))
    covered = 0
    for _ in range(200):
        slope = neural.fit_slope(horizons, exact * np.exp(rng.normal(0, 0.3, exact.shape)))
        covered += slope.low < 1.5 < slope.high
    assert 180 <= covered <= 199  # 95 %


def test_the_script_trains_students_and_writes_their_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    monkeypatch.setattr(neural, "STEPS", 5)
    monkeypatch.setattr(neural, "TEST_TOKENS", 4096)
    import cli
    import t2_bound

    words = [
        "shortest=4",
        "longest=16",
        "mdps=60",
        "neural_shortest=2",
        "neural_longest=8",
        "neural_seeds=2",
    ]
    t2_bound.main(cli.read("t2_bound", [*words, f"out={tmp_path}"]))
    results = json.loads((tmp_path / "t2_bound.json").read_text())
    curves = {
        (curve["learner"], curve["kind"]): curve
        for curve in results["curves"]
        if curve["kind"] != "exact"
    }
    assert len(results["students"]) == 2 * 3 * 2
    for name, learner in neural.LEARNERS.items():
        curve, exact = curves[learner, "neural"], curves[learner, "exact, as neural"]
        assert curve["horizon"] == exact["horizon"] == [2, 4, 8]
        mine = [
            row["regret"]
            for row in results["students"]
            if (row["learner"], row["horizon"]) == (name, 8)
        ]
        assert curve["regret"][-1] == pytest.approx(np.mean(mine))
        assert curve["slope"]["low"] < curve["slope"]["value"] < curve["slope"]["high"]
