"""Every registered id keeps gymnasium's and Stable-Baselines3's contracts, and ours."""

from __future__ import annotations

import gc
import importlib
import json
import tracemalloc
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import textgen_env
from support.tiny import (
    REWARDS,
    follow_expert,
    make_vec,
    noisy_references,
    play_actions,
    progress,
    small_task,
    tiny_task,
    until_eos,
)
from textgen_env.envs import dynamics
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.errors import UserError
from textgen_env.oracles.cached import CachedOracle
from textgen_env.oracles.references import ReferenceOracle
from textgen_env.tasks import tasks
from textgen_env.tasks.task import expert
from textgen_env.types import BOS, EOS, PAD

IDS = list(tasks())


@pytest.fixture
def task():
    return tiny_task()


@pytest.fixture(params=IDS)
def id(request):
    return request.param


# Registration


def test_every_task_is_registered_without_a_time_limit(id):
    assert gym.spec(id).max_episode_steps is None
    assert gym.make(f"textgen_env:{id}", task=small_task(id)).spec.id == id


def test_registering_twice_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(textgen_env)


@pytest.mark.parametrize(
    "options",
    [{}, {"render_mode": "ansi", "expert": True}, {"action_mask": True, "text": "always"}],
)
def test_the_checkers_of_gymnasium_and_sb3_find_nothing(id, options):
    env = gym.make(id, task=small_task(id), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
        check_env_sb3(env.unwrapped)
        check_env_sb3(FlatObservation(env))
        check_env(FlatObservation(env).unwrapped)


@pytest.mark.parametrize("reward", REWARDS)
def test_the_checkers_accept_every_reward(reward, task):
    env = TextGenEnv(task, reward=REWARDS[reward])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)
        check_env_sb3(env)


def test_options_go_to_the_task_or_to_the_environment():
    env = gym.make(
        "Copy-v0", symbols=3, max_length=2, horizon=4, train=20, split="valid", reward="accuracy"
    ).unwrapped
    assert env.action_space.n == 4 + 3
    assert env.observation_space["prefix"].shape == (4,)
    assert (env.split, type(env.reward).__name__) == ("valid", "Terminal")


@pytest.mark.parametrize(
    "make", [gym.make, lambda id, **options: make_vec(id, 2, **options)], ids=["single", "vector"]
)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"symbol": 3}, "unknown option of Copy-v0 'symbol'; did you mean 'symbols'"),
        ({"rewards": "bleu"}, "did you mean 'reward'"),
        ({"reward": "blue"}, "unknown reward 'blue'; did you mean 'bleu'"),
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"text": "sometimes"}, "unknown text 'sometimes'"),
        ({"task": "tiny", "symbols": 3}, "symbols cannot change it"),
        ({"oracle": "tiny"}, "the oracle knows 19 tokens"),
        ({"oracle": 5}, "oracle: int is no Oracle, it has no vocabulary_size"),
        ({"reward": 5}, "unknown reward 5"),
        ({"symbols": "x"}, "symbols='x': a whole number expected"),
        ({"horizon": 12.5}, "horizon=12.5: a whole number expected"),
        ({"seed": True}, "seed=True: a whole number expected"),
        ({"seed": -1}, "seed=-1: a number of at least 0 and at most 4,294,967,295 expected"),
    ],
)
def test_mistakes_are_named(make, options, says):
    stand_ins = {"task": tiny_task(), "oracle": expert(tiny_task())}
    with pytest.raises(UserError, match=says):
        make(
            "Copy-v0",
            **{
                name: stand_ins[name] if value == "tiny" else value
                for name, value in options.items()
            },
        )


def test_a_render_mode_it_has_not_is_named(task):
    with pytest.raises(UserError, match="unknown render_mode 'ascii'; did you mean 'ansi'"):
        TextGenEnv(task, render_mode="ascii")


def test_a_task_is_shared_not_copied():
    task = small_task("Copy-v0")
    env = gym.make("Copy-v0", task=task)
    assert env.unwrapped.task is task
    assert env.spec.kwargs["task"] is task


def test_spawned_workers_find_the_id():
    workers = {"vectorization_mode": "async", "vector_kwargs": {"context": "spawn"}}
    envs = gym.make_vec("textgen_env:Copy-v0", num_envs=1, train=20, **workers)
    try:
        observation, _ = envs.reset(seed=3)
    finally:
        envs.close()
    single, _ = gym.make("Copy-v0", train=20).reset(seed=3)
    np.testing.assert_array_equal(observation["source"][0], single["source"])


# The MDP


def test_what_an_episode_is(task):
    env = TextGenEnv(task, split="valid", expert=True)
    observation, info = env.reset(options={"index": 1})
    source = task.splits["valid"].source[1]
    assert list(info) == ["index", "expert_action"]
    assert observation["source"].tolist() == [*source.tolist(), *[PAD] * (10 - len(source))]
    assert observation["source_length"].tolist() == [len(source)]
    assert observation["prefix"].tolist() == [PAD] * 9
    actions = [7, BOS, PAD, 5, EOS]
    for step, (observation, _, terminated, truncated, info) in enumerate(
        play_actions(env, actions), 1
    ):
        assert observation["prefix"].tolist() == actions[:step] + [PAD] * (9 - step)
        assert observation["prefix_length"].tolist() == [step]
        assert (terminated, truncated) == (step == 5, False)
        assert ("expert_action" in info) == (step < 5)
    assert info["hypothesis"] == task.vocabulary.decode(actions)
    assert info["reference"] == "the dog sees the cat"
    assert set(info) == {"reference", "hypothesis", "bleu"}


def test_the_horizon_truncates_and_still_pays(task):
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


@pytest.mark.parametrize("name", IDS)
def test_obeying_the_expert_costs_nothing(name):
    env = TextGenEnv(small_task(name), reward="zero_one", expert=True)
    env.reset(seed=0)
    assert [follow_expert(env) for _ in range(5)] == [0] * 5
    limits = env.task.limit(np.array([len(row) for row in env.task.splits["train"].source]))
    assert -follow_expert(env, slip=lambda: True) in limits


def test_the_transition_is_pure_unless_told_where_to_write(task):
    state = dynamics.initial(task.splits["train"].source, 10, 9)
    before = state.copy()
    after = dynamics.transition(state, np.array([5, 6, 7, 8]), rows=np.array([0, 2]))
    for old, kept in zip(state, before, strict=True):
        np.testing.assert_array_equal(old, kept)
    assert after.prefix[:, 0].tolist() == [5, 0, 7, 0]
    assert after.prefix_length[:, 0].tolist() == [1, 0, 1, 0]
    assert dynamics.transition(state, np.array([5, 6, 7, 8]), out=state) is state


def test_a_step_after_the_end_or_before_the_start_is_an_error(task):
    env = TextGenEnv(task)
    with pytest.raises(ResetNeeded):
        env.step(5)
    env.reset()
    env.step(EOS)
    with pytest.raises(ResetNeeded):
        env.step(5)
    env.reset()
    with pytest.raises(UserError, match="choose integers from 0 to 18"):
        env.step(19)


@pytest.mark.parametrize("action", [1.7, True, np.nan, "x", None, 2**70, -1])
def test_an_action_that_is_no_token_is_an_error(action, task):
    for env, given in ((TextGenEnv(task), action), (make_vec("Copy-v0", 2), [action] * 2)):
        env.reset()
        with pytest.raises(UserError, match="choose integers from 0 to"):
            env.step(given)


@pytest.mark.parametrize(
    "action", [7, np.int8(7), np.uint64(7), np.array(7), np.array([7], dtype=np.int32), [7]]
)
def test_a_token_may_come_in_any_integer_type(action, task):
    env = TextGenEnv(task)
    env.reset()
    assert env.step(action)[0]["prefix"][0] == 7


def test_rows_of_unequal_length_are_no_actions(task):
    env = TextGenEnv(task)
    env.reset()
    with pytest.raises(UserError, match="is no row of actions"):
        env.step([[5], [5, 6]])


@pytest.mark.parametrize("actions", [[], [1, 2]])
def test_one_episode_takes_one_action(actions, task):
    env = TextGenEnv(task)
    env.reset()
    with pytest.raises(UserError, match=f"{len(actions)} actions for 1 episodes; give one each"):
        env.step(actions)


def test_a_task_of_another_task_is_not_taken_for_this_one():
    with pytest.raises(UserError, match="task= is a Copy-v0 task, not IWSLT-v0"):
        gym.make("textgen_env:IWSLT-v0", task=small_task("Copy-v0"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"idx": 0}, "did you mean 'index'"),
        ({"index": 4}, "from 0 to 3"),
        ({"index": -1}, "from 0 to 3"),
        ({"index": 1.0}, "choose an integer"),
        ({"index": True}, "choose an integer"),
        ({"index": 1, "split": "test"}, "from 0 to 0"),
        ({"split": "tset"}, "did you mean 'test'"),
    ],
)
def test_bad_reset_options_are_named(options, says, task):
    with pytest.raises(UserError, match=says):
        TextGenEnv(task).reset(options=options)


def test_reset_options_choose_one_episode_only(task):
    env = TextGenEnv(task)
    env.reset(seed=0, options={"split": "test"})
    *_, (_, _, _, _, info) = play_actions(env, [EOS])
    assert info["reference"] == "the cat sees a man"
    assert {env.reset()[1]["index"] for _ in range(50)} == {0, 1, 2, 3}


# Reproducibility and hygiene


def test_a_reseeded_environment_replays_its_episodes(id):
    env = gym.make(id, task=small_task(id), expert=True)
    first, second = (_episodes(env, seed=7) for _ in range(2))
    assert first == second
    assert first != _episodes(env, seed=8)


def _episodes(env: gym.Env, seed: int) -> list:
    env.action_space.seed(seed)
    observation, info = env.reset(seed=seed)
    log: list = [({name: part.tolist() for name, part in observation.items()}, info)]
    for _ in range(4 * env.unwrapped.task.horizon):
        observation, *outcome = env.step(env.action_space.sample())
        log.append(({name: part.tolist() for name, part in observation.items()}, outcome))
        if outcome[1] or outcome[2]:
            log.append(env.reset()[1])
    return log


@pytest.mark.parametrize("reward", REWARDS)
def test_python_scalars_and_plain_info(reward, id):
    env = TextGenEnv(small_task(id), reward=REWARDS[reward], expert=True, text="always")
    _, info = env.reset(seed=0)
    for _ in range(2 * env.task.horizon):
        json.dumps(info, allow_nan=False)
        _, earned, terminated, truncated, info = env.step(env.action_space.sample())
        assert (type(earned), type(terminated), type(truncated)) == (float, bool, bool)
        assert np.isfinite(earned)
        if terminated or truncated:
            _, info = env.reset()


def test_the_mask_allows_all_but_pad_and_bos(task):
    _, info = TextGenEnv(task, action_mask=True).reset()
    assert info["action_mask"].dtype == np.int8
    assert np.flatnonzero(info["action_mask"] == 0).tolist() == [PAD, BOS]
    assert TextGenEnv(task).action_space.sample(info["action_mask"]) not in (PAD, BOS)
    assert "action_mask" not in TextGenEnv(task).reset()[1]


def test_text_in_info_when_asked_for(task):
    actions = [*task.vocabulary.encode("the dog"), EOS]
    for text, at_steps, at_end in (
        ("never", False, False),
        ("end", False, True),
        ("always", True, True),
    ):
        env = TextGenEnv(task, text=text)
        infos = [env.reset()[1], *(step[4] for step in play_actions(env, actions))]
        assert [info.get("text") for info in infos] == (
            ["", "the", "the dog", "the dog"] if at_steps else [None] * 4
        )
        assert ["hypothesis" in info for info in infos] == [False, False, False, at_end]


def test_observations_are_the_callers(task):
    env = TextGenEnv(task)
    first, _ = env.reset(seed=0)
    kept = {name: part.copy() for name, part in first.items()}
    second = env.step(5)[0]
    for name, part in first.items():
        np.testing.assert_array_equal(part, kept[name])
    second["prefix"][:] = 9
    second["source"][:] = 9
    third = env.step(6)[0]
    assert third["prefix"].tolist() == [5, 6] + [PAD] * 7
    np.testing.assert_array_equal(third["source"], kept["source"])


@pytest.mark.parametrize("expert", [False, True])
@pytest.mark.parametrize("reward", ["bleu", "zero_one"])
def test_the_oracle_is_asked_once_a_state_and_only_when_needed(expert, reward, task):
    env = TextGenEnv(task, expert=expert, reward=reward)
    env.reset()
    list(play_actions(env, [5, 6, 7, EOS]))
    assert env.oracle.queries == (4 if expert or reward == "zero_one" else 0)


def test_the_experts_of_a_task(task):
    assert isinstance(TextGenEnv(task).oracle, ReferenceOracle)
    assert type(TextGenEnv(small_task("Copy-v0")).oracle).__name__ == "CopyOracle"
    cached = CachedOracle(expert(task))
    assert TextGenEnv(task, oracle=cached).oracle is cached


@pytest.mark.parametrize("reward", ["zero_one", "bleu", "function"])
def test_memory_does_not_grow_with_steps(reward, task):
    env = TextGenEnv(
        task, reward=REWARDS[reward], render_mode="ansi" if reward == "zero_one" else None
    )
    env.reset(seed=0)

    def run(steps: int) -> None:
        for step in range(steps):
            if any(env.step(5 + step % 9)[2:4]):
                env.reset()

    tracemalloc.start()
    try:
        run(3_000)  # what is cached once is there now
        gc.collect()  # empties Python's own free lists too
        before, _ = tracemalloc.get_traced_memory()
        run(3_000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000  # a pointer a step would be more


# The flat view


def test_the_flat_view_and_back(id):
    env = FlatObservation(gym.make(id, task=small_task(id)))
    task = env.unwrapped.task
    flat, _ = env.reset(seed=0)
    assert flat.shape == (task.source_limit + task.horizon + 2,)
    flat, *_ = env.step(5)
    twin = TextGenEnv(task)
    twin.reset(seed=0)
    plain, *_ = twin.step(5)
    for given in (flat, flat[None, None]):
        parts = FlatObservation.unflatten(given, task.source_limit)
        assert set(parts) == set(plain)
        for name, part in parts.items():
            np.testing.assert_array_equal(part.reshape(-1), plain[name])


def test_the_flat_view_can_be_made_from_its_spec(task):
    env = FlatObservation(gym.make("Copy-v0", task=small_task("Copy-v0")))
    again = gym.make(env.spec)
    assert isinstance(again, FlatObservation)
    assert again.observation_space == env.observation_space


# What a person sees


def test_rendering_shows_the_source_the_text_and_where_it_leaves_the_expert(task):
    env = TextGenEnv(task, render_mode="ansi", reward="zero_one")
    env.reset(options={"index": 0})
    assert "der hund sieht die katze" in env.render()
    assert "the 0.99" in env.render()
    env.step(task.vocabulary.encode("the")[0])
    env.step(task.vocabulary.encode("cat")[0])
    shown = env.render()
    assert "the ‹cat≠dog›" in shown
    assert "cat (0.00) ≠ the expert's dog (0.99)" in shown
    assert "sees 0.99" in shown
    assert "reward -1 · return -1" in shown
    env.step(EOS)
    shown = env.render()
    for words in ("the dog sees the cat", "the cat", "bleu"):
        assert words in shown
    assert "\x1b" not in shown


def test_human_rendering_prints_by_itself_and_does_not_leak_into_info(task, capsys):
    env = TextGenEnv(task, render_mode="human")
    _, info = env.reset(options={"index": 2})
    assert "ein mann" in capsys.readouterr().out
    assert "expert_action" not in info
    env.step(EOS)
    assert "hypothesis" in capsys.readouterr().out
    assert env.render() is None


def test_a_long_sentence_stays_within_the_width():
    long = tiny_task(horizon=9)
    env = TextGenEnv(long, render_mode="ansi")
    env.reset(options={"index": 3})
    list(play_actions(env, [0, 1, 3, 3, 3, 0, 1, 3]))
    assert max(map(len, env.render().splitlines())) <= 100


def test_rendering_changes_no_episode(task):
    actions = until_eos(noisy_references(task, "train", np.arange(4), 0.4, seed=0))
    for row in range(4):
        quiet, shown = (
            TextGenEnv(task, reward=progress),
            TextGenEnv(task, reward=progress, render_mode="ansi"),
        )
        for env in (quiet, shown):
            env.reset(options={"index": row})
        for one, other in zip(
            play_actions(quiet, actions[row]), play_actions(shown, actions[row]), strict=True
        ):
            assert one[1:] == other[1:]
