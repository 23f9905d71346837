"""Arguments of environments and tasks: their types, their ranges, and a time limit from outside."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

import textgen_env
from textgen_env import TextGenEnv, TextGenVectorEnv
from textgen_env.errors import Range, UserError
from textgen_env.tasks import tasks


@pytest.fixture(scope="module")
def task():
    return tasks()["Copy-v0"].load(train=20, valid=2, test=2)


@pytest.mark.parametrize("open", ["", "least", "most", "both"])
def test_a_range_holds_its_ends_unless_it_is_open_there_and_never_nan(open) -> None:
    allowed = Range(0, 1, open)
    assert 0.5 in allowed
    assert np.float32(0.5) in allowed
    assert (0 in allowed, 1 in allowed) == (
        open not in ("least", "both"),
        open not in ("most", "both"),
    )
    assert not {math.nan, math.inf, -1, 2} & {
        value for value in (math.nan, math.inf, -1, 2) if value in allowed
    }
    assert "0.5" not in allowed


@pytest.mark.parametrize("value", [1, 0, "no", None, 1.0])
@pytest.mark.parametrize(
    ("name", "made"),
    [
        *((name, TextGenEnv) for name in ("expert", "action_mask")),
        *((name, TextGenVectorEnv) for name in ("expert", "action_mask", "copy")),
    ],
)
def test_a_switch_is_true_or_false(task, name, made, value) -> None:
    with pytest.raises(UserError, match=f"^{name}={value!r}: True or False expected"):
        made(task, **{name: value})


@pytest.mark.parametrize("made", [TextGenEnv, lambda task: TextGenVectorEnv(task, 2)])
@pytest.mark.parametrize("seed", [-1, 1.5, True, "3", np.int64(-1)])
def test_a_seed_of_reset_is_a_whole_number(task, made, seed) -> None:
    with pytest.raises(
        UserError, match="seed=.*: a whole number of at least 0 expected" if seed != "3" else "seed"
    ):
        made(task).reset(seed=seed)


def test_a_vector_environment_checks_each_seed(task) -> None:
    with pytest.raises(UserError, match="seed=-1: a whole number"):
        TextGenVectorEnv(task, 2).reset(seed=[3, -1])


@pytest.mark.parametrize(
    ("ratio", "offset"), [(True, 4), (1.0, True), ("1", 4), ([1], 4), (1, 4.0), (1.0, None)]
)
def test_equal_options_of_another_kind_are_another_task(ratio, offset) -> None:
    small = {"train": 20, "valid": 2, "test": 2, "limit_offset": 4}
    tasks()["Copy-v0"].load(**small, limit_ratio=1.0)
    with pytest.raises(UserError, match="limit_"):
        tasks()["Copy-v0"].load(**small | {"limit_ratio": ratio, "limit_offset": offset})


def used(env):
    env.reset()
    return env


@pytest.mark.parametrize(
    "begin",
    [
        lambda task: gym.make("Copy-v0", task=task, max_episode_steps=3).reset(),
        lambda task: TimeLimit(TextGenEnv(task), 3).reset(),
        lambda task: TimeLimit(used(TextGenEnv(task)), 3).reset(),
        pytest.param(
            lambda task: gym.make_vec(
                "Copy-v0", 2, vectorization_mode="sync", task=task, max_episode_steps=3
            ).reset(),
            marks=pytest.mark.filterwarnings(
                "ignore::pytest.PytestUnraisableExceptionWarning"
            ),  # gymnasium's half-made one
        ),
        lambda task: textgen_env.make_vector_env("Copy-v0", 2, task, max_episode_steps=3),
    ],
)
def test_a_time_limit_is_refused_by_both_environments(task, begin) -> None:
    with pytest.raises(UserError, match=r"max_episode_steps would cut episodes .*env\.horizon"):
        begin(task)


def test_a_time_limit_around_another_environment_is_not_ours(task) -> None:
    class Owner(gym.Env):
        observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            TextGenEnv(task).reset(seed=seed)
            return 0, {}

    TimeLimit(Owner(), 3).reset()
    gym.make("Copy-v0", task=task).reset()
