"""What student and teacher compute over the vocabulary outside a loss, in chunks of a batch."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from agents.evaluation.exposure_bias import prefix_metrics
from agents.evaluation.validation import mean_nll
from support.distributions import Distributions
from support.learners import batch_of, small_policy, teacher
from textgen_env.envs import rewards
from textgen_env.tasks import copy
from textgen_env.types import Trajectories


def validation_loss(task, student, oracle):
    return torch.tensor(mean_nll(student, task, task.splits["train"], "float32", "cpu"))


@torch.no_grad()
def differences_from_the_teacher(task, student, oracle):
    return torch.stack([*prefix_metrics(student, oracle, batch_of(task)).values()])


def actions_of_the_teacher(task, student, oracle, whole=False):
    source, prefix, mask = batch_of(task).states
    return oracle.action(source, prefix, None if whole else mask)


def reward(task, student, oracle, name):
    batch = batch_of(task)
    episodes = Trajectories(batch.target, batch.length, torch.zeros(len(batch)))
    function = rewards.make(name, task, oracle)
    earned = rewards.score_trajectories(function, task, "train", batch.index.tolist(), episodes)
    return torch.from_numpy(earned)


COMPUTED = {
    "validation loss": validation_loss,
    "exposure bias": differences_from_the_teacher,
    "actions": actions_of_the_teacher,
    "actions at padding too": partial(actions_of_the_teacher, whole=True),
    **{name: partial(reward, name=name) for name in rewards.EXPERT_REWARDS},
}


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("positions", [1, 3, 10**6])
def test_chunks_of_any_size_give_the_same_values(name, positions, task, monkeypatch):
    student, oracle = small_policy(task), teacher(task)
    whole, queries = COMPUTED[name](task, student, oracle), oracle.queries
    monkeypatch.setattr("textgen_env.chunks.MAX_LOGITS", positions * len(task.vocabulary))
    torch.testing.assert_close(COMPUTED[name](task, student, oracle), whole, rtol=1e-5, atol=1e-5)
    assert oracle.queries == 2 * queries


@pytest.mark.parametrize("name", COMPUTED)
def test_no_distributions_of_a_whole_batch_exist(name, monkeypatch):
    task = copy.load(symbols=14, max_length=5, horizon=8, train=100, valid=5, test=5)
    student, oracle = small_policy(task), teacher(task)
    monkeypatch.setattr("textgen_env.chunks.MAX_LOGITS", 1)  # every row is a chunk
    watched = Distributions(student)
    watched.watch(student, monkeypatch, first=True)
    watched.watch(oracle.policy, monkeypatch, first=name != "exposure bias")
    with watched:
        COMPUTED[name](task, student, oracle)
    assert 0 < max(watched.rows) <= task.horizon < batch_of(task).tokens
