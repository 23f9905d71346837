"""The single environment: episodes, actions, reset options, determinism and ``info``."""

from __future__ import annotations

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from support.tiny import REWARDS, follow_expert, make_vec, play_actions, small_task, tiny_task
from textgen_env.data.limit import Limit
from textgen_env.envs import dynamics
from textgen_env.envs.env import TextGenEnv
from textgen_env.errors import UserError
from textgen_env.oracles.cached import CachedOracle
from textgen_env.oracles.references import ReferenceOracle
from textgen_env.tasks import tasks
from textgen_env.tasks.task import expert
from textgen_env.types import BOS, EOS, PAD


@pytest.fixture
def task():
    return tiny_task()


@pytest.fixture(params=tasks())
def id(request):
    return request.param


def test_one_episode_step_by_step(task):
    env = TextGenEnv(task, split="valid", expert=True)
    observation, info = env.reset(options={"index": 1})
    source = task.splits["valid"].source[1]
    assert list(info) == ["index", "expert_action"]
    assert observation["source"].tolist() == [*source.tolist(), *[PAD] * (10 - len(source))]
    assert observation["source_length"].tolist() == [len(source)]
    assert observation["prefix"].tolist() == [PAD] * 9
    actions = [7, BOS, PAD, 5, EOS]
    steps = enumerate(play_actions(env, actions), 1)
    for step, (observation, _, terminated, truncated, info) in steps:
        assert observation["prefix"].tolist() == actions[:step] + [PAD] * (9 - step)
        assert observation["prefix_length"].tolist() == [step]
        assert (terminated, truncated) == (step == 5, False)
        assert ("expert_action" in info) == (step < 5)
    assert info["hypothesis"] == task.vocabulary.decode(actions)
    assert info["reference"] == "the dog sees the cat"
    assert set(info) == {"reference", "hypothesis", "bleu"}


def test_the_horizon_truncates_and_pays_the_reward(task):
    env = TextGenEnv(task)
    env.reset(options={"index": 3})
    actions = [*task.splits["train"].target[3][:8].tolist(), 5]
    *steps, (_, reward, terminated, truncated, info) = play_actions(env, actions)
    assert [step[1:4] for step in steps] == [(0.0, False, False)] * 8
    assert (terminated, truncated) == (False, True)
    assert 0 < reward == pytest.approx(info["bleu"] / 100)


def test_eos_at_the_horizon_terminates(task):
    env = TextGenEnv(task)
    env.reset()
    *_, (_, _, terminated, truncated, _) = play_actions(env, [5] * 8 + [EOS])
    assert (terminated, truncated) == (True, False)


def test_following_the_expert_returns_zero(id):
    task = replace(small_task(id), limit=Limit(20))
    env = TextGenEnv(task, reward="zero_one", expert=True)
    env.reset(seed=0)
    assert [follow_expert(env) for _ in range(5)] == [0] * 5
    assert follow_expert(env, slip=lambda: True) == -20


def test_transition_is_pure_unless_out_is_given(task):
    state = dynamics.initial(task.splits["train"].source, 10, 9)
    before = state.copy()
    after = dynamics.transition(state, np.array([5, 6, 7, 8]), rows=np.array([0, 2]))
    for array, copy in zip(state, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert after.prefix[:, 0].tolist() == [5, 0, 7, 0]
    assert after.prefix_length[:, 0].tolist() == [1, 0, 1, 0]
    assert dynamics.transition(state, np.array([5, 6, 7, 8]), out=state) is state


def test_step_needs_a_running_episode(task):
    env = TextGenEnv(task)
    with pytest.raises(ResetNeeded):
        env.step(5)
    env.reset()
    env.step(EOS)
    with pytest.raises(ResetNeeded):
        env.step(5)


@pytest.mark.parametrize("action", [1.7, True, np.nan, "x", None, 2**70, -1, 19])
def test_invalid_actions_raise_a_clear_error(action, task):
    for env, actions in ((TextGenEnv(task), action), (make_vec("Copy-v0", 2), [action] * 2)):
        env.reset()
        with pytest.raises(UserError, match="give integers from 0 to"):
            env.step(actions)


@pytest.mark.parametrize(
    "action", [7, np.int8(7), np.uint64(7), np.array(7), np.array([7], dtype=np.int32), [7]]
)
def test_actions_may_have_any_integer_type(action, task):
    env = TextGenEnv(task)
    env.reset()
    assert env.step(action)[0]["prefix"][0] == 7


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([], "0 actions for 1 episodes; give one per episode"),
        ([1, 2], "2 actions for 1 episodes; give one per episode"),
        ([[5], [5, 6]], "is not an array"),
    ],
)
def test_wrong_number_of_actions_raises_a_clear_error(actions, message, task):
    env = TextGenEnv(task)
    env.reset()
    with pytest.raises(UserError, match=message):
        env.step(actions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"idx": 0}, "did you mean 'index'"),
        ({"index": 4}, "from 0 to 3"),
        ({"index": -1}, "from 0 to 3"),
        ({"index": 1.0}, "give an integer"),
        ({"index": True}, "give an integer"),
        ({"index": 1, "split": "test"}, "from 0 to 0"),
        ({"split": "tset"}, "did you mean 'test'"),
    ],
)
def test_invalid_reset_options_raise_clear_errors(options, message, task):
    with pytest.raises(UserError, match=message):
        TextGenEnv(task).reset(options=options)


def test_reset_options_apply_to_one_episode(task):
    env = TextGenEnv(task)
    env.reset(seed=0, options={"split": "test"})
    *_, (_, _, _, _, info) = play_actions(env, [EOS])
    assert info["reference"] == "the cat sees a man"
    assert {env.reset()[1]["index"] for _ in range(50)} == {0, 1, 2, 3}


def test_same_seed_gives_the_same_episodes(id):
    env = gym.make(id, task=small_task(id), expert=True)
    first, second, other = (random_steps(env, seed) for seed in (7, 7, 8))
    assert first == second
    assert first != other


def random_steps(env: gym.Env, seed: int) -> list:
    """All that the env returns to random actions."""
    env.action_space.seed(seed)
    steps: list = [env.reset(seed=seed)]
    for _ in range(4 * env.unwrapped.task.horizon):
        steps.append(env.step(env.action_space.sample()))
        if steps[-1][2] or steps[-1][3]:
            steps.append(env.reset())
    return [
        ({name: array.tolist() for name, array in observation.items()}, rest)
        for observation, *rest in steps
    ]


@pytest.mark.parametrize("reward", REWARDS)
def test_step_returns_python_scalars_and_json_info(reward, id):
    env = TextGenEnv(small_task(id), reward=REWARDS[reward], expert=True, text="always")
    _, info = env.reset(seed=0)
    for _ in range(2 * env.task.horizon):
        json.dumps(info, allow_nan=False)
        _, earned, terminated, truncated, info = env.step(env.action_space.sample())
        assert (type(earned), type(terminated), type(truncated)) == (float, bool, bool)
        assert np.isfinite(earned)
        if terminated or truncated:
            _, info = env.reset()


def test_action_mask_excludes_pad_and_bos(task):
    _, info = TextGenEnv(task, action_mask=True).reset()
    assert info["action_mask"].dtype == np.int8
    assert np.flatnonzero(info["action_mask"] == 0).tolist() == [PAD, BOS]
    assert TextGenEnv(task).action_space.sample(info["action_mask"]) not in (PAD, BOS)
    assert "action_mask" not in TextGenEnv(task).reset()[1]


@pytest.mark.parametrize(
    ("text", "prefixes", "has_hypothesis"),
    [
        ("never", [None] * 4, False),
        ("end", [None] * 4, True),
        ("always", ["", "the", "the dog", "the dog"], True),
    ],
)
def test_text_option_controls_the_text_in_info(text, prefixes, has_hypothesis, task):
    env = TextGenEnv(task, text=text)
    actions = [*task.vocabulary.encode("the dog"), EOS]
    infos = [env.reset()[1], *(step[4] for step in play_actions(env, actions))]
    assert [info.get("text") for info in infos] == prefixes
    assert ["hypothesis" in info for info in infos] == [False, False, False, has_hypothesis]


def test_observations_are_copies(task):
    env = TextGenEnv(task)
    first, _ = env.reset(seed=0)
    copies = {name: array.copy() for name, array in first.items()}
    second = env.step(5)[0]
    for name, array in first.items():
        np.testing.assert_array_equal(array, copies[name])
    second["prefix"][:] = 9
    second["source"][:] = 9
    third = env.step(6)[0]
    assert third["prefix"].tolist() == [5, 6] + [PAD] * 7
    np.testing.assert_array_equal(third["source"], copies["source"])


@pytest.mark.parametrize("expert", [False, True])
@pytest.mark.parametrize("reward", ["bleu", "zero_one"])
def test_oracle_is_queried_at_most_once_per_state(expert, reward, task):
    env = TextGenEnv(task, expert=expert, reward=reward)
    env.reset()
    list(play_actions(env, [5, 6, 7, EOS]))
    assert env.oracle.queries == (4 if expert or reward == "zero_one" else 0)


def test_default_experts(task):
    assert isinstance(TextGenEnv(task).oracle, ReferenceOracle)
    assert type(TextGenEnv(small_task("Copy-v0")).oracle).__name__ == "CopyOracle"
    cached = CachedOracle(expert(task))
    assert TextGenEnv(task, oracle=cached).oracle is cached
