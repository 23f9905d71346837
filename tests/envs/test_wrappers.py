"""The flat observation wrapper."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from support.tiny import small_task
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.tasks import tasks


@pytest.mark.parametrize("id", tasks())
def test_unflatten_inverts_flatten(id):
    env = FlatObservation(gym.make(id, task=small_task(id)))
    task = env.unwrapped.task
    flat, _ = env.reset(seed=0)
    assert flat.shape == (task.source_limit + task.horizon + 2,)
    flat, *_ = env.step(5)
    dict_env = TextGenEnv(task)
    dict_env.reset(seed=0)
    observation, *_ = dict_env.step(5)
    for array in (flat, flat[None, None]):
        parts = FlatObservation.unflatten(array, task.source_limit)
        assert set(parts) == set(observation)
        for name, part in parts.items():
            np.testing.assert_array_equal(part.reshape(-1), observation[name])


def test_flat_env_can_be_rebuilt_from_its_spec():
    env = FlatObservation(gym.make("Copy-v0", task=small_task("Copy-v0")))
    rebuilt = gym.make(env.spec)
    assert isinstance(rebuilt, FlatObservation)
    assert rebuilt.observation_space == env.observation_space
