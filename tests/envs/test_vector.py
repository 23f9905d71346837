"""The vector environment against gymnasium's ``SyncVectorEnv`` over single environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from support.tiny import NEW_GYMNASIUM, REWARDS, tiny_task
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.vector import FINAL_OBSERVATION, AutoresetMode, TextGenVectorEnv
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, PAD

B = 5
# The modes that the installed SyncVectorEnv supports.
MODES = list(AutoresetMode) if NEW_GYMNASIUM else [AutoresetMode.SAME_STEP]


@pytest.fixture
def task():
    return tiny_task()


def reference_envs(task, mode: AutoresetMode, **options: Any) -> Any:
    """gymnasium's own vector environment over single environments."""
    makers = [lambda: TextGenEnv(task, **options)] * B
    if NEW_GYMNASIUM:
        return gym.vector.SyncVectorEnv(makers, autoreset_mode=mode)
    return gym.experimental.vector.SyncVectorEnv(makers)


def info_of(infos: dict[str, Any], slot: int) -> dict[str, Any]:
    """The ``info`` of one slot, in plain Python values."""
    info: dict[str, Any] = {}
    for name, values in infos.items():
        if not name.startswith("_") and infos[f"_{name}"][slot]:
            value = info_of(values, slot) if isinstance(values, dict) else values[slot]
            if isinstance(value, dict):  # an observation, or 0.29's final_info
                value = {key: np.asarray(item).tolist() for key, item in value.items()}
            info[name] = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return info


def assert_equal_steps(first: tuple, second: tuple) -> None:
    for name, array in first[0].items():
        np.testing.assert_array_equal(array, second[0][name], err_msg=name)
    for array, expected in zip(first[1:-1], second[1:-1], strict=True):
        np.testing.assert_array_equal(array, expected)
    for slot in range(B):
        assert info_of(first[-1], slot) == info_of(second[-1], slot)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options",
    [
        {"text": "end"},
        dict(text="always", expert=True, action_mask=True, reward="zero_one", split="valid"),
        {"text": "never", "reward": "expert_logprob"},
        {"text": "end", "reward": REWARDS["function"]},
    ],
    ids=["bleu", "everything", "logprob", "function"],
)
def test_equals_gymnasiums_sync_vector_env(mode, options, task):
    ours = TextGenVectorEnv(task, B, autoreset_mode=mode, **options)
    theirs = reference_envs(task, mode, **options)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    generator = np.random.default_rng(0)
    assert_equal_steps(ours.reset(seed=11), theirs.reset(seed=11))
    for _ in range(40):
        tokens = generator.integers(len(task.vocabulary), size=B)
        actions = np.where(generator.random(B) < 0.15, EOS, tokens)
        first, second = ours.step(actions), theirs.step(actions)
        assert_equal_steps(first, second)
        over = first[2] | first[3]
        if mode is AutoresetMode.DISABLED and over.any():
            resets = (envs.reset(options={"reset_mask": over.copy()}) for envs in (ours, theirs))
            assert_equal_steps(*resets)
    for arguments in (
        {"options": {"index": 1}},
        {"seed": [3, None, 4, None, 3]},
        {"options": {"split": "test"}},
    ):
        assert_equal_steps(ours.reset(**arguments), theirs.reset(**arguments))
        for action in (5, EOS):
            assert_equal_steps(ours.step(np.full(B, action)), theirs.step(np.full(B, action)))


def test_np_random_seed_equals_gymnasiums(task):
    ours, theirs = TextGenVectorEnv(task, B), reference_envs(task, MODES[0])
    for seed, seeds in ((11, (11, 12, 13, 14, 15)), ([3, None, 4, None, 3], (3, 12, 4, 14, 3))):
        ours.reset(seed=seed)
        theirs.reset(seed=seed)
        assert ours.np_random_seed == seeds
        if NEW_GYMNASIUM:  # 0.29 does not have the property
            assert theirs.np_random_seed == seeds


def test_oracle_is_queried_once_for_all_slots(task):
    envs = TextGenVectorEnv(task, B, expert=True, reward="zero_one", autoreset_mode="NextStep")
    positions = []
    action = envs.oracle.action

    def counted_action(source, prefix, mask):
        positions.append(int(mask.sum()))
        return action(source, prefix, mask)

    envs.oracle.action = counted_action
    envs.reset(seed=0)
    envs.step(np.array([EOS, 5, 5, 5, 5]))
    envs.step(np.full(B, 5))
    # The rewards reuse the answers in info; a slot whose episode has ended is not queried.
    assert positions == [5, 4, 5]


def test_reset_options_choose_a_row_per_slot(task):
    envs = TextGenVectorEnv(task, 4, autoreset_mode="Disabled")
    observation, infos = envs.reset(options={"index": np.array([2, 0, 1, 0]), "split": "train"})
    assert infos["index"].tolist() == [2, 0, 1, 0]
    for slot, row in enumerate([2, 0, 1, 0]):
        source = task.splits["train"].source[row]
        assert observation["source"][slot, : len(source)].tolist() == source.tolist()
    with pytest.raises(UserError, match="2 rows for 4 episodes"):
        envs.reset(options={"index": [0, 1]})


def test_disabled_mode_resets_only_masked_slots(task):
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


def test_next_step_and_same_step_modes(task):
    next_step, same_step = (
        TextGenVectorEnv(task, 2, autoreset_mode=mode, text="end")
        for mode in ("NextStep", "SameStep")
    )
    for envs in (next_step, same_step):
        envs.reset(seed=0)
    observation, _, terminated, _, infos = next_step.step(np.array([EOS, 5]))
    assert (observation["prefix"][0, 0], terminated.tolist()) == (EOS, [True, False])
    assert infos["hypothesis"].tolist() == ["", None]
    observation, reward, terminated, _, _ = next_step.step(np.array([7, 7]))
    assert observation["prefix_length"][:, 0].tolist() == [0, 2]
    assert (reward[0], terminated.tolist()) == (0.0, [False, False])
    observation, _, terminated, _, infos = same_step.step(np.array([EOS, 5]))
    assert observation["prefix_length"][:, 0].tolist() == [0, 1]
    assert terminated.tolist() == [True, False]
    assert infos[FINAL_OBSERVATION][0]["prefix"][0] == EOS
    assert infos[FINAL_OBSERVATION][1] is None


def test_observations_are_copies_unless_copy_is_false(task):
    copying, sharing = TextGenVectorEnv(task, 2), TextGenVectorEnv(task, 2, copy=False)
    copied, shared = copying.reset(seed=0)[0], sharing.reset(seed=0)[0]
    initial = {name: array.copy() for name, array in copied.items()}
    after = copying.step(np.array([5, 6]))[0]
    sharing.step(np.array([5, 6]))
    for name in initial:
        np.testing.assert_array_equal(copied[name], initial[name])
        np.testing.assert_array_equal(shared[name], after[name])
    after["prefix"][:] = 9
    assert copying.step(np.array([7, 7]))[0]["prefix"][:, :3].tolist() == [[5, 7, 0], [6, 7, 0]]


def test_action_mask_excludes_pad_and_bos(task):
    _, infos = TextGenVectorEnv(task, 3, action_mask=True).reset()
    assert infos["action_mask"].dtype == np.int8
    for row in infos["action_mask"]:
        assert np.flatnonzero(row == 0).tolist() == [PAD, BOS]


@pytest.mark.parametrize(
    ("act", "error", "message"),
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
def test_invalid_arguments_raise_clear_errors(act, error, message, task):
    envs = TextGenVectorEnv(task, 2)
    envs.reset()
    with pytest.raises(error, match=message):
        act(envs)
