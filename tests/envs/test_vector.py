"""The vector environment is so many single ones: the same episodes, rewards and info, in every autoreset mode."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from support.tiny import NEW_GYMNASIUM, REWARDS, make_vec, noisy_references, tiny_task
from textgen_env import make_vector_env
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.vector import FINAL_OBSERVATION, AutoresetMode, TextGenVectorEnv
from textgen_env.errors import UserError
from textgen_env.tasks import tasks
from textgen_env.types import BOS, EOS, PAD

B = 5
MODES = (
    list(AutoresetMode) if NEW_GYMNASIUM else [AutoresetMode.SAME_STEP]
)  # what SyncVectorEnv of this generation can do


@pytest.fixture
def task():
    return tiny_task()


def reference_envs(task, mode: AutoresetMode, **options: Any) -> Any:
    """gymnasium's own loop over single environments."""
    makers = [lambda: TextGenEnv(task, **options)] * B
    if NEW_GYMNASIUM:
        return gym.vector.SyncVectorEnv(makers, autoreset_mode=mode)
    return gym.experimental.vector.SyncVectorEnv(makers)


def info_of(infos: dict[str, Any], slot: int) -> dict[str, Any]:
    """What the batched ``infos`` say of one slot."""
    found: dict[str, Any] = {}
    for name, value in infos.items():
        if not name.startswith("_") and infos[f"_{name}"][slot]:
            part = info_of(value, slot) if isinstance(value, dict) else value[slot]
            if isinstance(part, dict):  # an observation, or 0.29's final_info
                part = {key: np.asarray(each).tolist() for key, each in part.items()}
            found[name] = part.tolist() if isinstance(part, np.ndarray | np.generic) else part
    return found


def assert_same(first: tuple, second: tuple) -> None:
    for name, part in first[0].items():
        np.testing.assert_array_equal(part, second[0][name], err_msg=name)
    for one, other in zip(first[1:-1], second[1:-1], strict=True):
        np.testing.assert_array_equal(one, other)
    for slot in range(B):
        assert info_of(first[-1], slot) == info_of(second[-1], slot)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options",
    [
        {"text": "end"},
        {
            "text": "always",
            "expert": True,
            "action_mask": True,
            "reward": "zero_one",
            "split": "valid",
        },
        {"text": "never", "reward": "expert_logprob"},
        {"text": "end", "reward": REWARDS["function"]},
    ],
    ids=["bleu", "everything", "logprob", "function"],
)
def test_it_replays_gymnasiums_vector_environment(mode, options, task):
    ours, theirs = (
        TextGenVectorEnv(task, B, autoreset_mode=mode, **options),
        reference_envs(task, mode, **options),
    )
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    generator = np.random.default_rng(0)
    assert_same(ours.reset(seed=11), theirs.reset(seed=11))
    for _ in range(40):
        actions = np.where(
            generator.random(B) < 0.15, EOS, generator.integers(len(task.vocabulary), size=B)
        )
        first, second = ours.step(actions), theirs.step(actions)
        assert_same(first, second)
        over = first[2] | first[3]
        if mode is AutoresetMode.DISABLED and over.any():
            assert_same(
                *(envs.reset(options={"reset_mask": over.copy()}) for envs in (ours, theirs))
            )
    for given in (
        {"options": {"index": 1}},
        {"seed": [3, None, 4, None, 3]},
        {"options": {"split": "test"}},
    ):
        assert_same(ours.reset(**given), theirs.reset(**given))
        for action in (5, EOS):
            assert_same(ours.step(np.full(B, action)), theirs.step(np.full(B, action)))


def test_the_seeds_are_told_as_gymnasium_tells_them(task):
    ours, theirs = TextGenVectorEnv(task, B), reference_envs(task, MODES[0])
    for seed, told in ((11, (11, 12, 13, 14, 15)), ([3, None, 4, None, 3], (3, 12, 4, 14, 3))):
        ours.reset(seed=seed)
        theirs.reset(seed=seed)
        assert ours.np_random_seed == told
        if NEW_GYMNASIUM:  # 0.29 does not tell them
            assert theirs.np_random_seed == told


def test_make_vec_gives_the_native_one_and_says_its_mode():
    envs = make_vec("Copy-v0", 3, train=20, expert=True)
    assert isinstance(envs.unwrapped, TextGenVectorEnv)
    assert envs.metadata["autoreset_mode"] is (
        AutoresetMode.NEXT_STEP if NEW_GYMNASIUM else AutoresetMode.SAME_STEP
    )
    assert envs.reset(seed=0)[1]["expert_action"].shape == (3,)
    with pytest.raises(UserError, match="max_episode_steps"):
        make_vector_env("Copy-v0", 3, max_episode_steps=5)


@pytest.mark.parametrize("id", list(tasks()))
def test_every_id_has_a_native_vector_environment(id):
    assert gym.spec(id).vector_entry_point is not None


def test_the_oracle_is_asked_once_for_all(task):
    envs = TextGenVectorEnv(task, B, expert=True, reward="zero_one", autoreset_mode="NextStep")
    calls = []
    ask = envs.oracle.action
    envs.oracle.action = lambda *given: calls.append(int(given[2].sum())) or ask(*given)
    envs.reset(seed=0)
    envs.step(np.array([EOS, 5, 5, 5, 5]))
    envs.step(np.full(B, 5))
    assert calls == [
        5,
        4,
        5,
    ]  # the rewards reuse what info said; a slot that is over is not asked about


def test_rows_can_be_chosen_one_each(task):
    envs = TextGenVectorEnv(task, 4, autoreset_mode="Disabled")
    observation, infos = envs.reset(options={"index": np.array([2, 0, 1, 0]), "split": "train"})
    assert infos["index"].tolist() == [2, 0, 1, 0]
    for slot, row in enumerate([2, 0, 1, 0]):
        source = task.splits["train"].source[row]
        assert observation["source"][slot, : len(source)].tolist() == source.tolist()
    with pytest.raises(UserError, match="2 rows for 4 episodes"):
        envs.reset(options={"index": [0, 1]})


def test_disabled_waits_for_the_mask(task):
    envs = TextGenVectorEnv(task, 3, autoreset_mode="Disabled")
    envs.reset(seed=0)
    observation, *_ = envs.step(np.array([EOS, 5, EOS]))
    with pytest.raises(ResetNeeded, match=r"\[0, 2\]"):
        envs.step(np.full(3, 5))
    again, infos = envs.reset(options={"reset_mask": np.array([True, False, True])})
    assert infos["_index"].tolist() == [True, False, True]
    np.testing.assert_array_equal(again["prefix"][1], observation["prefix"][1])
    assert again["prefix_length"][:, 0].tolist() == [0, 1, 0]
    envs.step(np.full(3, 5))


def test_next_step_starts_anew_and_same_step_keeps_the_last_observation(task):
    late, soon = (
        TextGenVectorEnv(task, 2, autoreset_mode=mode, text="end")
        for mode in ("NextStep", "SameStep")
    )
    for envs in (late, soon):
        envs.reset(seed=0)
    observation, _, terminated, _, infos = late.step(np.array([EOS, 5]))
    assert (observation["prefix"][0, 0], terminated.tolist()) == (EOS, [True, False])
    assert infos["hypothesis"].tolist() == ["", None]
    observation, reward, terminated, _, _ = late.step(np.array([7, 7]))
    assert (observation["prefix_length"][:, 0].tolist(), reward[0], terminated.tolist()) == (
        [0, 2],
        0.0,
        [False, False],
    )
    observation, _, terminated, _, infos = soon.step(np.array([EOS, 5]))
    assert (observation["prefix_length"][:, 0].tolist(), terminated.tolist()) == (
        [0, 1],
        [True, False],
    )
    assert infos[FINAL_OBSERVATION][0]["prefix"][0] == EOS
    assert infos[FINAL_OBSERVATION][1] is None


def test_copies_are_the_callers_and_the_others_are_not(task):
    safe, live = TextGenVectorEnv(task, 2), TextGenVectorEnv(task, 2, copy=False)
    first, second = safe.reset(seed=0)[0], live.reset(seed=0)[0]
    kept = {name: part.copy() for name, part in first.items()}
    after = safe.step(np.array([5, 6]))[0]
    live.step(np.array([5, 6]))
    for name, part in first.items():
        np.testing.assert_array_equal(part, kept[name])
        np.testing.assert_array_equal(second[name], after[name])
    after["prefix"][:] = 9
    assert safe.step(np.array([7, 7]))[0]["prefix"][:, :3].tolist() == [[5, 7, 0], [6, 7, 0]]


def test_the_mask_allows_all_but_pad_and_bos(task):
    _, infos = TextGenVectorEnv(task, 3, action_mask=True).reset()
    assert infos["action_mask"].dtype == np.int8
    for row in infos["action_mask"]:
        assert np.flatnonzero(row == 0).tolist() == [PAD, BOS]


@pytest.mark.parametrize(
    ("act", "error", "says"),
    [
        (lambda envs: TextGenVectorEnv(envs.task, 0), UserError, "num_envs=0"),
        (
            lambda envs: TextGenVectorEnv(envs.task, 2, autoreset_mode="NextStop"),
            UserError,
            "did you mean 'NextStep'",
        ),
        (lambda envs: TextGenVectorEnv(envs.task, 2).step([0, 0]), ResetNeeded, "reset"),
        (lambda envs: envs.step(np.zeros(3)), UserError, "3 actions for 2 episodes"),
        (lambda envs: envs.step(np.array([0, 19])), UserError, "not in the vocabulary"),
        (lambda envs: envs.reset(seed=[1]), UserError, "1 seeds for 2 episodes"),
        (lambda envs: envs.reset(options={"idx": 1}), UserError, "did you mean 'index'"),
        (
            lambda envs: envs.reset(options={"reset_mask": np.zeros(2, dtype=bool)}),
            UserError,
            "reset_mask",
        ),
        (
            lambda envs: envs.reset(options={"reset_mask": np.array([1, 0])}),
            UserError,
            "reset_mask",
        ),
    ],
)
def test_mistakes_are_named(act, error, says, task):
    envs = TextGenVectorEnv(task, 2)
    envs.reset()
    with pytest.raises(error, match=says):
        act(envs)


def test_memory_does_not_grow_with_steps(task):
    envs = TextGenVectorEnv(task, B, reward="zero_one", expert=True, text="end")
    envs.reset(seed=0)
    actions = noisy_references(task, "train", np.zeros(B, dtype=int), 0.5, seed=0)

    def run(steps: int) -> None:
        for step in range(steps):
            envs.step(actions[:, step % actions.shape[1]])

    tracemalloc.start()
    try:
        run(300)
        gc.collect()  # empties Python's own free lists too
        before, _ = tracemalloc.get_traced_memory()
        run(1_500)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 12_000
