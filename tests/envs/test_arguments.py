"""Arguments of the environments: their types and ranges, and gymnasium's ``TimeLimit``."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

import textgen_env
from textgen_env import TextGenEnv, TextGenVectorEnv
from textgen_env.errors import Range, UserError


@pytest.mark.parametrize("open", ["", "least", "most", "both"])
def test_range_with_open_and_closed_bounds(open):
    allowed = Range(0, 1, open)
    assert 0.5 in allowed
    assert np.float32(0.5) in allowed
    assert (0 in allowed) == (open not in ("least", "both"))
    assert (1 in allowed) == (open not in ("most", "both"))
    assert not any(value in allowed for value in (math.nan, math.inf, -1, 2, "0.5"))


@pytest.mark.parametrize("value", [1, 0, "no", None, 1.0])
@pytest.mark.parametrize(
    ("env_class", "name"),
    [
        (TextGenEnv, "expert"),
        (TextGenEnv, "action_mask"),
        (TextGenVectorEnv, "expert"),
        (TextGenVectorEnv, "action_mask"),
        (TextGenVectorEnv, "copy"),
    ],
)
def test_flags_must_be_bool(env_class, name, value, task):
    with pytest.raises(UserError, match=f"^{name}={value!r}: "):
        env_class(task, **{name: value})


@pytest.mark.parametrize("make", [TextGenEnv, lambda task: TextGenVectorEnv(task, 2)])
@pytest.mark.parametrize("seed", [-1, 1.5, True, np.int64(-1)])
def test_seed_must_be_a_non_negative_integer(make, seed, task):
    with pytest.raises(UserError, match=r"seed=.*: expected a non-negative integer"):
        make(task).reset(seed=seed)


def test_vector_env_checks_each_seed(task):
    with pytest.raises(UserError, match="seed=-1: expected a non-negative integer"):
        TextGenVectorEnv(task, 2).reset(seed=[3, -1])


def after_reset(env):
    env.reset()
    return env


def make_sync(task):
    options = {"vectorization_mode": "sync", "task": task, "max_episode_steps": 3}
    return gym.make_vec("Copy-v0", 2, **options)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # half-built env
@pytest.mark.parametrize(
    "start",
    [
        lambda task: gym.make("Copy-v0", task=task, max_episode_steps=3).reset(),
        lambda task: TimeLimit(TextGenEnv(task), 3).reset(),
        lambda task: TimeLimit(after_reset(TextGenEnv(task)), 3).reset(),
        lambda task: make_sync(task).reset(),
        lambda task: textgen_env.make_vector_env("Copy-v0", 2, task, max_episode_steps=3),
    ],
)
def test_time_limit_is_rejected(start, task):
    with pytest.raises(UserError, match=r"max_episode_steps would truncate .*env\.horizon"):
        start(task)


def test_time_limit_around_another_env_is_accepted(task):
    class Outer(gym.Env):
        observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            TextGenEnv(task).reset(seed=seed)
            return 0, {}

    TimeLimit(Outer(), 3).reset()
    gym.make("Copy-v0", task=task).reset()
