"""Single env, vector env and generate-then-score give equal tokens, rewards and losses."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from agents.algorithms import Clock
from agents.algorithms.bc import BC
from agents.algorithms.word_kd import WordKD
from agents.generation.rollout import rollout
from agents.policies.transformer import TransformerPolicy
from support.tiny import REWARDS, noisy_references, play_actions, small_task
from textgen_env.data.batching import sequential_batches
from textgen_env.data.corpus import Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.split import Split
from textgen_env.envs import rewards
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.vector import TextGenVectorEnv
from textgen_env.tasks import tasks
from textgen_env.tasks.task import expert
from textgen_env.types import EOS, PAD, Batch, Trajectories

B = 6


class Results(NamedTuple):
    """Episodes as arrays."""

    source: np.ndarray  # [B, S]
    tokens: np.ndarray  # [B, T]
    rewards: np.ndarray  # [B, T]
    length: np.ndarray  # [B]
    terminated: np.ndarray  # [B]


def run_single(task, split, reward, index, actions):
    """Play the episodes one after another in the single environment."""
    env = TextGenEnv(task, split, reward)
    source = np.full((len(index), task.source_limit), PAD)
    tokens, earned = np.full(actions.shape, PAD), np.zeros(actions.shape)
    length, ended = np.zeros(len(index), dtype=np.int64), np.zeros(len(index), dtype=bool)
    for row, number in enumerate(index):
        env.reset(options={"index": int(number)})
        steps = list(play_actions(env, actions[row].tolist()))
        earned[row, : len(steps)] = [step[1] for step in steps]
        observation, _, terminated, truncated, _ = steps[-1]
        assert terminated != truncated
        source[row], tokens[row] = observation["source"], observation["prefix"]
        length[row], ended[row] = len(steps), terminated
    return Results(source, tokens, earned, length, ended)


def run_vector(task, split, reward, index, actions):
    """Play all episodes in the vector environment; what follows in their slots is ignored."""
    envs = TextGenVectorEnv(task, len(index), split, reward, autoreset_mode="NextStep")
    initial, _ = envs.reset(options={"index": index})
    tokens, earned = np.full(actions.shape, PAD), np.zeros(actions.shape)
    length, ended = np.zeros(len(index), dtype=np.int64), np.zeros(len(index), dtype=bool)
    running = np.ones(len(index), dtype=bool)
    for step in range(actions.shape[1]):
        observation, reward, terminated, truncated, _ = envs.step(actions[:, step])
        earned[running, step] = reward[running]
        finished = running & (terminated | truncated)
        tokens[finished], ended[finished] = observation["prefix"][finished], terminated[finished]
        length[finished] = observation["prefix_length"][finished, 0]
        running &= ~finished
    assert not running.any()
    return Results(initial["source"], tokens, earned, length, ended)


def run_rollout(task, split, reward, index, actions):
    """Generate a whole batch with forced actions, then score it."""
    batch = batch_of(task, split, index)
    episodes = rollout(student(task), batch.source, batch.limit, forced=torch.from_numpy(actions))
    batch = batch.with_rows(torch.ones(len(batch), dtype=torch.bool), episodes)
    reward = rewards.make(reward, task, expert(task))
    episodes = Trajectories(batch.target, batch.length, episodes.score)
    values = rewards.score_trajectories(reward, task, split, index, episodes)
    source, tokens = np.full((len(batch), task.source_limit), PAD), np.full(actions.shape, PAD)
    source[:, : batch.source.shape[1]] = batch.source[:, : task.source_limit]
    tokens[:, : batch.target.shape[1]] = batch.target
    earned = np.zeros(actions.shape)
    earned[:, : values.shape[1]] = values
    ended = (batch.target == EOS).any(1).numpy()
    return Results(source, tokens, earned, batch.length.numpy(), ended)


RUNS = (run_single, run_vector, run_rollout)


def student(task):
    torch.manual_seed(0)
    return TransformerPolicy(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16, dropout=0.0)


def with_limit(task, limit):
    return replace(task, limit=Limit(task.horizon, 0.1, 2)) if limit == "short" else task


def batch_of(task, split, index):
    """The batch that training and evaluation make of the rows ``index``, in that order."""
    rows = task.splits[split]
    texts = Pairs([rows.texts.sources[i] for i in index], [rows.texts.references[i] for i in index])
    selected = Split([rows.source[i] for i in index], [rows.target[i] for i in index], texts)
    batch = next(sequential_batches(selected, 10**6, task.limit))
    return batch.rows(batch.index.argsort())


def losses(task, results):
    """Losses of a student on the episodes: by their actions, and by the expert's distributions."""
    length, row = torch.from_numpy(results.length), torch.arange(B)
    source, target = torch.from_numpy(results.source), torch.from_numpy(results.tokens)
    batch = Batch(row, source, target, length, limit=length, row=row)
    policy = student(task)
    algorithms = BC(policy), WordKD(policy, expert(task))
    return [algorithm.loss(batch, Clock(0, 0, 1)).sum.item() for algorithm in algorithms]


def sample_episodes(task, split):
    """Rows ``[B]`` of ``split`` and actions ``[B, T]``.

    The first two episodes have the same source. The first is truncated at the limit, the second
    ends with EOS in its last step.
    """
    index = np.random.default_rng(1).integers(len(task.splits[split]), size=B)
    index[1] = index[0]
    actions = noisy_references(task, split, index, 0.3, seed=2)
    actions[0] = np.where(actions[0] == EOS, 4, actions[0])
    limit = task.limit(len(task.splits[split].source[index[0]]))
    actions[1] = actions[0]
    actions[1, limit - 1 :] = EOS
    return index, actions


@pytest.mark.parametrize("limit", ["default", "short"])
@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("id", tasks())
def test_episodes_and_rewards_are_equal(id, reward, limit):
    task = with_limit(small_task(id), limit)
    for split in ("train", "test"):
        index, actions = sample_episodes(task, split)
        results = [run(task, split, REWARDS[reward], index, actions) for run in RUNS]
        for other in results[1:]:
            for array, expected in zip(other, results[0], strict=True):
                np.testing.assert_array_equal(array, expected)
        limits = task.limit(np.array([len(task.splits[split].source[row]) for row in index]))
        length, terminated = results[0].length, results[0].terminated
        assert (length[~terminated] == limits[~terminated]).all()
        assert length[0] == length[1] == limits[0]
        assert (terminated[0], terminated[1]) == (False, True)
        if limit == "short":
            assert (limits < task.horizon).any()


@pytest.mark.parametrize("limit", ["default", "short"])
@pytest.mark.parametrize("id", tasks())
def test_losses_are_equal(id, limit):
    task = with_limit(small_task(id), limit)
    index, actions = sample_episodes(task, "train")
    first, *others = (losses(task, run(task, "train", "zero_one", index, actions)) for run in RUNS)
    assert others == [first, first]
