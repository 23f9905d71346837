"""Learning from rewards: gradients against their expectations by enumeration, cost and resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from agents.algorithms import Clock
from agents.algorithms.mixer import Mixer
from agents.algorithms.mrt import MRT
from agents.algorithms.ppo import PPO
from agents.algorithms.reinforce import Reinforce
from agents.algorithms.rloo import RLOO
from agents.algorithms.scst import SCST
from agents.discovery import build
from agents.estimators.baselines import Critic
from agents.estimators.episodes import log_probs_of
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    A,
    B,
    Table,
    as_batch,
    assert_mean,
    constant_reward,
    exact_gradient,
    gradient,
    loss_at,
    reward,
    sampled_gradients,
    token_rewards,
)
from support.learners import ALGORITHMS, batch_of, small_policy
from textgen_env.errors import UserError
from textgen_env.profiler import Profiler
from textgen_env.tasks.task import expert
from textgen_env.types import EOS

GENERATING = ("reinforce", "rloo", "scst", "mixer", "mrt", "ppo")
NAMES = (*GENERATING, "gold", "gold_p", "gold_s")


def learner(name, policy=None, reward=reward):
    return build(ALGORITHMS[name], {}, policy=policy or Table(0), reward=reward)


# --- gradients


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Reinforce, {"baseline": "running"}),
        (Reinforce, {"baseline": "critic"}),
        (Reinforce, {"baseline": "running", "samples": 3}),
        (RLOO, {"samples": 2}),
        (RLOO, {"samples": 5}),
        (SCST, {}),
        (SCST, {"samples": 2}),
        (Mixer, {}),
        (PPO, {"epochs": 1, "trace": 1.0, "kl": 0.0}),
    ],
)
def test_policy_gradients_are_unbiased(kind, settings):
    """With a critic far from zero, which must not matter."""
    algorithm = kind(Table(0), reward, **settings)
    for module in algorithm.modules():
        if isinstance(module, Critic):
            nn.init.normal_(module.weight, generator=torch.Generator().manual_seed(0))
    expected = exact_gradient(algorithm.policy, lambda sentence: sum(token_rewards(sentence)))
    assert_mean(-sampled_gradients(algorithm, 200, 100, progress=0.9), expected)


def test_mixer_trains_the_head_by_cross_entropy_and_the_tail_by_reinforce():
    algorithm = Mixer(Table(0), reward, delta=1, anneal=1.0)
    policy, data = algorithm.policy, as_batch([REFERENCE])
    likelihood = gradient(policy, log_probs_of(policy, data)[0].sum())
    torch.testing.assert_close(-gradient(policy, loss_at(algorithm, data, 0.0).mean), likelihood)
    head = gradient(policy, log_probs_of(policy, data)[0][0, 0])
    tail = exact_gradient(policy, lambda sentence: sum(token_rewards(sentence)), forced=(A,))
    assert_mean(-sampled_gradients(algorithm, 100, progress=0.6), head + tail)
    with Profiler({}, "") as profiler:
        loss = loss_at(algorithm, data, 0.6)
    assert loss.metrics["head"] == 1
    assert profiler.counts["decoded"] == loss.tokens - 1


def test_the_head_of_mixer_shrinks_to_nothing():
    algorithm = Mixer(Table(0), reward, delta=1, anneal=1.0)
    heads = [
        algorithm.head(torch.tensor([3, 1]), progress).tolist()
        for progress in (0.0, 0.2, 0.3, 0.6, 0.8, 0.999)
    ]
    assert heads == [[3, 1], [3, 1], [2, 1], [1, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("kind", [RLOO, SCST, MRT])
def test_equal_returns_give_no_gradient(kind):
    algorithm = kind(Table(0), constant_reward(7.0), samples=3)
    loss = loss_at(algorithm, as_batch([REFERENCE] * 4))
    torch.testing.assert_close(gradient(algorithm.policy, loss.mean), torch.zeros(13, 5))


# --- batches, state and cost


@pytest.mark.parametrize("name", NAMES)
def test_losses_of_sub_batches_add_up(name):
    """With different limits, rewards at every step and several samples."""
    batch = as_batch([REFERENCE, (B, EOS), (A, A, B)] * 4)
    batch.limit[::2] = 2
    whole, *parts = (
        loss_at(learner(name), batch.rows(rows))
        for rows in (torch.arange(12), torch.arange(0, 12, 2), torch.arange(1, 12, 2))
    )
    assert whole.weight == sum(part.weight for part in parts)
    torch.testing.assert_close(whole.sum, sum(part.sum for part in parts))


@pytest.mark.parametrize("name", NAMES)
def test_training_resumes_exactly_from_a_restored_state(name):
    def train(algorithm, optimizer, first, last):
        for step in range(first, last):
            batch = as_batch([SENTENCES[step], SENTENCES[-step]] * 5)
            for loss in algorithm.updates([batch], Clock(1, step, 6)):
                optimizer.zero_grad()
                loss.mean.backward()
                optimizer.step()

    def fresh():
        algorithm = learner(name)
        weights = [*algorithm.policy.parameters(), *algorithm.parameters()]
        return algorithm, torch.optim.SGD(weights, lr=0.1)

    uninterrupted, optimizer = fresh()
    train(uninterrupted, optimizer, 0, 3)
    policy_state, state = (
        {key: tensor.clone() for key, tensor in module.state_dict().items()}
        for module in (uninterrupted.policy, uninterrupted)
    )
    train(uninterrupted, optimizer, 3, 6)

    resumed, optimizer = fresh()
    resumed.policy.load_state_dict(policy_state)
    resumed.load_state_dict(state)
    train(resumed, optimizer, 3, 6)
    assert torch.equal(uninterrupted.policy.table, resumed.policy.table)
    final = uninterrupted.state_dict(), resumed.state_dict()
    assert final[0].keys() == final[1].keys() == state.keys()
    assert all(torch.equal(final[0][key], final[1][key]) for key in state)


@pytest.mark.parametrize("name", GENERATING)
def test_decoded_tokens_and_queries_are_counted(name, task):
    oracle, tokens = expert(task), []

    def query_every_action(index, trajectories):
        tokens.append(int(trajectories.length.sum()))
        mask = torch.arange(trajectories.action.shape[1]) < trajectories.length[:, None]
        oracle.action(trajectories.action, trajectories.action, mask)
        return np.zeros(trajectories.action.shape)

    algorithm = learner(name, small_policy(task), query_every_action)
    with Profiler({}, "") as profiler:
        loss = loss_at(algorithm, batch_of(task, tokens=100), 0.99)
    assert profiler.counts["decoded"] == oracle.queries == sum(tokens)
    assert loss.tokens == tokens[-1]


@pytest.mark.parametrize("name", GENERATING)
def test_a_reward_that_is_not_finite_is_an_error(name):
    message = "the reward of training row 0 at step 1 is nan: rewards must be finite"
    with pytest.raises(UserError, match=message):
        loss_at(learner(name, reward=constant_reward(float("nan"))), as_batch([(A, EOS)] * 3), 0.99)
