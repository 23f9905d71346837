"""One episode at a time, many in lockstep, or written first and scored afterwards: the same tokens, rewards and endings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import REWARDS, cut, play, small_world, some_actions

from textgen_env import rewards
from textgen_env.env import TextGenEnv
from textgen_env.tasks import tasks
from textgen_env.types import EOS, PAD, Trajectories
from textgen_env.vector import TextGenVectorEnv

B = 6


def single(world, split, reward, index, actions):
    """Tokens ``[B, T]``, rewards ``[B, T]``, terminated ``[B]``: from the single environment."""
    env = TextGenEnv(world, split, reward)
    tokens, earned, ends = np.full(actions.shape, PAD), np.zeros(actions.shape), []
    for row, number in enumerate(index):
        env.reset(options={"index": int(number)})
        steps = list(play(env, actions[row].tolist()))
        earned[row, : len(steps)] = [gain for _, gain, *_ in steps]
        observation, _, terminated, truncated, _ = steps[-1]
        assert terminated != truncated
        tokens[row] = observation["prefix"]
        ends.append(terminated)
    return tokens, earned, np.array(ends)


def vector(world, split, reward, index, actions):
    """The same from the vector environment; slots that are over wait for the others on a spare episode."""
    envs = TextGenVectorEnv(world, len(index), split, reward, autoreset_mode="NextStep")
    envs.reset(options={"index": index})
    tokens, earned, ends = np.full(actions.shape, PAD), np.zeros(actions.shape), np.zeros(len(index), dtype=bool)
    running = np.ones(len(index), dtype=bool)
    for step in range(actions.shape[1]):
        observation, gain, terminated, truncated, _ = envs.step(actions[:, step])
        earned[running, step] = gain[running]
        finished = running & (terminated | truncated)
        tokens[finished], ends[finished] = observation["prefix"][finished], terminated[finished]
        running &= ~finished
    assert not running.any()
    return tokens, earned, ends


def replay(world, split, reward, index, actions):
    """The same from trajectories that are written already."""
    rows = cut(actions)
    tokens = np.array([row + [PAD] * (actions.shape[1] - len(row)) for row in rows])
    written = Trajectories(torch.from_numpy(tokens), torch.tensor([len(row) for row in rows]), torch.zeros(len(rows)))
    scorer = rewards.make(reward, world, TextGenEnv(world).oracle)
    return tokens, rewards.score(scorer, world, split, index, written), np.array([row[-1] == EOS for row in rows])


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("id", list(tasks()))
def test_three_ways_to_run_an_episode_agree(id, reward):
    world = small_world(id)
    for split in ("train", "test"):
        index = np.random.default_rng(1).integers(len(world.splits[split]), size=B)
        actions = some_actions(world, split, index, 0.3, seed=2)
        actions[0] = np.where(actions[0] == EOS, 4, actions[0])  # runs to the horizon …
        actions[1, :-1], actions[1, -1] = actions[0, :-1], EOS  # … and EOS is its last step
        results = [way(world, split, REWARDS[reward], index, actions) for way in (single, vector, replay)]
        for other in results[1:]:
            for ours, theirs in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(ours, theirs)
        assert 0 < results[0][2].sum() < B  # both endings were seen
