"""One episode at a time, many in lockstep, or generated first and scored afterwards: the same tokens, rewards and losses."""

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
from agents.policies.transformer import Transformer
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
LIMITS = ("its own", "a tenth")


class Episodes(NamedTuple):
    """source ``[B, S]``, tokens ``[B, T]``, rewards ``[B, T]``, length ``[B]``, terminated ``[B]``."""

    source: np.ndarray
    tokens: np.ndarray
    rewards: np.ndarray
    length: np.ndarray
    terminated: np.ndarray


def single(task, split, reward, index, actions):
    """From the single environment."""
    env = TextGenEnv(task, split, reward)
    source, tokens, earned, length, ends = (
        [],
        np.full(actions.shape, PAD),
        np.zeros(actions.shape),
        [],
        [],
    )
    for row, number in enumerate(index):
        env.reset(options={"index": int(number)})
        steps = list(play_actions(env, actions[row].tolist()))
        earned[row, : len(steps)] = [gain for _, gain, *_ in steps]
        observation, _, terminated, truncated, _ = steps[-1]
        assert terminated != truncated
        source.append(observation["source"])
        tokens[row] = observation["prefix"]
        length.append(len(steps))
        ends.append(terminated)
    return Episodes(np.stack(source), tokens, earned, np.array(length), np.array(ends))


def vector(task, split, reward, index, actions):
    """From the vector environment; slots that are over wait for the others on a spare episode."""
    envs = TextGenVectorEnv(task, len(index), split, reward, autoreset_mode="NextStep")
    first, _ = envs.reset(options={"index": index})
    tokens, earned, ends = (
        np.full(actions.shape, PAD),
        np.zeros(actions.shape),
        np.zeros(len(index), dtype=bool),
    )
    running, length = np.ones(len(index), dtype=bool), np.zeros(len(index), dtype=np.int64)
    for step in range(actions.shape[1]):
        observation, gain, terminated, truncated, _ = envs.step(actions[:, step])
        earned[running, step] = gain[running]
        finished = running & (terminated | truncated)
        tokens[finished], ends[finished] = observation["prefix"][finished], terminated[finished]
        length[finished] = observation["prefix_length"][finished, 0]
        running &= ~finished
    assert not running.any()
    return Episodes(first["source"], tokens, earned, length, ends)


def replay(task, split, reward, index, actions):
    """From a decoder that generates a whole batch, as roll-outs do, scored afterwards."""
    batch = batch_of(task, split, index)
    written = rollout(student(task), batch.source, batch.limit, forced=torch.from_numpy(actions))
    batch = batch.with_rows(torch.ones(len(batch), dtype=torch.bool), written)
    scorer = rewards.make(reward, task, TextGenEnv(task).oracle)
    earned = rewards.score_trajectories(
        scorer, task, split, index, Trajectories(batch.target, batch.length, written.score)
    )
    source, tokens = np.full((len(batch), task.source_limit), PAD), np.full(actions.shape, PAD)
    source[:, : batch.source.shape[1]] = batch.source[:, : task.source_limit]
    tokens[:, : batch.target.shape[1]] = batch.target
    filled = np.zeros(actions.shape)
    filled[:, : earned.shape[1]] = earned
    ends = (batch.target == EOS).any(1).numpy()
    return Episodes(source, tokens, filled, batch.length.numpy(), ends)


def student(task):
    torch.manual_seed(0)
    return Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16, dropout=0.0)


def limited(task, limit):
    return task if limit == "its own" else replace(task, limit=Limit(task.horizon, 0.1, 2))


def batch_of(task, split, index):
    """The rows ``index`` of ``split``, in that order, as training and evaluation get them."""
    rows = task.splits[split]
    texts = Pairs([rows.texts.sources[i] for i in index], [rows.texts.references[i] for i in index])
    batch = next(
        sequential_batches(
            Split([rows.source[i] for i in index], [rows.target[i] for i in index], texts),
            10**6,
            task.limit,
        )
    )
    return batch.rows(batch.index.argsort())


def losses(task, episodes):
    """What cloning these episodes costs a student, by their actions and by the expert's distributions."""
    length = torch.from_numpy(episodes.length)
    source, tokens = torch.from_numpy(episodes.source), torch.from_numpy(episodes.tokens)
    batch = Batch(torch.arange(B), source, tokens, length, limit=length, row=torch.arange(B))
    policy = student(task)
    return [
        made.loss(batch, Clock(0, 0, 1)).sum.item()
        for made in (BC(policy), WordKD(policy, expert(task)))
    ]


def planned(task, split):
    """Rows of ``split`` and actions for them ``[B, T]``: two rows of one source, of which the first runs to the limit …"""
    index = np.random.default_rng(1).integers(len(task.splits[split]), size=B)
    index[1] = index[0]
    actions = noisy_references(task, split, index, 0.3, seed=2)
    actions[0] = np.where(actions[0] == EOS, 4, actions[0])
    limit = task.limit(len(task.splits[split].source[index[0]]))
    actions[1] = actions[0]
    actions[1, limit - 1 :] = EOS  # … and the second ends with its last step
    return index, actions


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("id", list(tasks()))
def test_three_ways_to_run_an_episode_agree(id, reward, limit):
    task = limited(small_task(id), limit)
    for split in ("train", "test"):
        index, actions = planned(task, split)
        results = [
            way(task, split, REWARDS[reward], index, actions) for way in (single, vector, replay)
        ]
        for other in results[1:]:
            for ours, theirs in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(ours, theirs)
        limits = task.limit(np.array([len(task.splits[split].source[row]) for row in index]))
        length, terminated = results[0].length, results[0].terminated
        assert (length[~terminated] == limits[~terminated]).all()
        assert length[0] == length[1] == limits[0]
        assert (terminated[0], terminated[1]) == (False, True)
        if limit == "a tenth":
            assert (limits < task.horizon).any()


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("id", list(tasks()))
def test_they_cost_a_student_the_same(id, limit):
    task = limited(small_task(id), limit)
    index, actions = planned(task, "train")
    found = [
        losses(task, way(task, "train", "zero_one", index, actions))
        for way in (single, vector, replay)
    ]
    assert found[0] == found[1] == found[2]
