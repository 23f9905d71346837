"""Estimated costs-to-go against exact ones."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from agents.estimators.cost_to_go import cost_to_go, oracle_rollout, student_rollout
from support.enumerable import (
    REFERENCE,
    A,
    B,
    Table,
    as_batch,
    exact_cost_to_go,
    reward,
)
from textgen_env.envs import rewards
from textgen_env.profiler import Profiler
from textgen_env.tasks import copy, tightrope
from textgen_env.tasks.task import expert
from textgen_env.types import EOS, Batch


@pytest.mark.parametrize(
    "load", [copy.load, tightrope.load, partial(tightrope.load, recoverable=False)]
)
def test_rolling_out_the_oracle_gives_its_exact_cost_to_go(load):
    task = load(train=30, valid=5, test=5)
    oracle, size, rows = expert(task), len(task.vocabulary), 20
    task_reward = partial(
        rewards.score_trajectories, rewards.make(task.reward, task, oracle), task, "train"
    )
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(rows)
    sources = [torch.from_numpy(task.splits["train"].source[i]) for i in index]
    source = torch.nn.utils.rnn.pad_sequence(sources, batch_first=True)
    target = torch.randint(3, size, (rows, task.horizon), generator=generator)
    length = torch.full((rows,), task.horizon)
    batch = Batch(index, source, target, length, limit=length, row=index)
    time = torch.randint(task.horizon, (rows,), generator=generator)
    action = torch.arange(EOS, size).expand(rows, -1)
    with Profiler({}, "") as profiler:
        costs = cost_to_go(oracle_rollout(oracle), task_reward, batch, time, action)
    mask = torch.arange(task.horizon) == time[:, None]
    expected = oracle.cost_to_go(batch.source, batch.prefix, mask)[:, EOS:]
    torch.testing.assert_close(costs, expected)
    assert "decoded" not in profiler.counts


def test_rolling_out_the_student_decodes_only_what_follows_the_action():
    batch, policy, lengths = as_batch([REFERENCE, (B, B, B), (A, A, EOS)]), Table(1), []

    def record_lengths(index, trajectories):
        lengths.extend(trajectories.length.tolist())
        return reward(index, trajectories)

    time, action = torch.tensor([0, 1, 2]), torch.tensor([[A, EOS], [B, A], [A, B]])
    with Profiler({}, "") as profiler:
        costs = cost_to_go(student_rollout(policy), record_lengths, batch, time, action)
    prefixes = ((), (B,), (A, A))
    expected = [
        [exact_cost_to_go(policy, prefix, a) for a in actions]
        for prefix, actions in zip(prefixes, action.tolist(), strict=True)
    ]
    torch.testing.assert_close(costs, torch.tensor(expected))
    forced = [t + 1 for t in (0, 0, 1, 1, 2, 2)]
    assert profiler.counts["decoded"] == sum(lengths) - sum(forced)
