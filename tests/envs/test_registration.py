"""``gym.make`` and ``gym.make_vec``: every id, the checkers, options and their errors."""

from __future__ import annotations

import importlib
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import textgen_env
from support.tiny import NEW_GYMNASIUM, REWARDS, make_vec, progress, small_task, tiny_task
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.vector import AutoresetMode, TextGenVectorEnv
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.errors import UserError
from textgen_env.tasks import tasks
from textgen_env.tasks.task import expert

IDS = list(tasks())


@pytest.fixture
def task():
    return tiny_task()


@pytest.mark.parametrize("id", IDS)
def test_every_task_is_registered_without_a_time_limit(id):
    assert gym.spec(id).max_episode_steps is None
    assert gym.spec(id).vector_entry_point is not None
    assert gym.make(f"textgen_env:{id}", task=small_task(id)).spec.id == id


def test_registering_twice_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(textgen_env)


@pytest.mark.parametrize(
    "options",
    [{}, {"render_mode": "ansi", "expert": True}, {"action_mask": True, "text": "always"}],
)
@pytest.mark.parametrize("id", IDS)
def test_checkers_of_gymnasium_and_sb3_pass(id, options):
    env = gym.make(id, task=small_task(id), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
        check_env_sb3(env.unwrapped)
        check_env_sb3(FlatObservation(env))
        check_env(FlatObservation(env).unwrapped)


@pytest.mark.parametrize("reward", REWARDS)
def test_checkers_pass_with_every_reward(reward, task):
    env = TextGenEnv(task, reward=REWARDS[reward])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)
        check_env_sb3(env)


def test_options_reach_the_task_and_the_environment():
    options = {"symbols": 3, "max_length": 2, "horizon": 4, "train": 20}
    env = gym.make("Copy-v0", split="valid", reward="accuracy", **options).unwrapped
    assert env.action_space.n == 4 + 3
    assert env.observation_space["prefix"].shape == (4,)
    assert (env.split, type(env.reward).__name__) == ("valid", "MetricReward")


@pytest.mark.parametrize("make", [gym.make, lambda id, **options: make_vec(id, 2, **options)])
def test_reward_may_be_a_dotted_path(make):
    env = make("Copy-v0", train=20, reward="support.tiny.progress").unwrapped
    assert env.reward.function is progress


def test_make_vec_makes_the_native_vector_environment():
    envs = make_vec("Copy-v0", 3, train=20, expert=True)
    assert isinstance(envs.unwrapped, TextGenVectorEnv)
    default = AutoresetMode.NEXT_STEP if NEW_GYMNASIUM else AutoresetMode.SAME_STEP
    assert envs.metadata["autoreset_mode"] is default
    assert envs.reset(seed=0)[1]["expert_action"].shape == (3,)
    with pytest.raises(UserError, match="max_episode_steps"):
        textgen_env.make_vector_env("Copy-v0", 3, max_episode_steps=5)


@pytest.mark.parametrize(
    "make", [gym.make, lambda id, **options: make_vec(id, 2, **options)], ids=["single", "vector"]
)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbol": 3}, "unknown option of Copy-v0 'symbol'; did you mean 'symbols'"),
        ({"rewards": "bleu"}, "did you mean 'reward'"),
        ({"reward": "blue"}, "unknown reward 'blue'; did you mean 'bleu'"),
        ({"reward": 5}, "unknown reward 5"),
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"text": "sometimes"}, "unknown text 'sometimes'"),
        ({"task": tiny_task(), "symbols": 3}, "symbols cannot change it"),
        ({"oracle": expert(tiny_task())}, "the oracle has 19 tokens"),
        ({"oracle": 5}, "oracle: int has no vocabulary_size"),
        ({"symbols": "x"}, "^symbols='x': "),
        ({"horizon": 12.5}, "^horizon=12.5: "),
        ({"seed": True}, "^seed=True: "),
        ({"seed": -1}, "^seed=-1: "),
    ],
)
def test_invalid_options_raise_clear_errors(make, options, message):
    with pytest.raises(UserError, match=message):
        make("Copy-v0", **options)


def test_invalid_render_mode_raises_a_clear_error(task):
    with pytest.raises(UserError, match="unknown render_mode 'ascii'; did you mean 'ansi'"):
        TextGenEnv(task, render_mode="ascii")


def test_task_of_another_id_is_rejected():
    with pytest.raises(UserError, match=r"Copy-v0.*IWSLT-v0"):
        gym.make("textgen_env:IWSLT-v0", task=small_task("Copy-v0"))


def test_task_is_shared_not_copied():
    task = small_task("Copy-v0")
    env = gym.make("Copy-v0", task=task)
    assert env.unwrapped.task is task
    assert env.spec.kwargs["task"] is task


@pytest.mark.slow
def test_spawned_workers_find_the_id():
    workers = {"vectorization_mode": "async", "vector_kwargs": {"context": "spawn"}}
    envs = gym.make_vec("textgen_env:Copy-v0", num_envs=1, train=20, **workers)
    try:
        observation, _ = envs.reset(seed=3)
    finally:
        envs.close()
    single, _ = gym.make("Copy-v0", train=20).reset(seed=3)
    np.testing.assert_array_equal(observation["source"][0], single["source"])
