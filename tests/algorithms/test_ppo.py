"""PPO: the KL penalty, advantages from exact values, epochs and clipping."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from agents.algorithms import Clock
from agents.algorithms.ppo import PPO
from agents.estimators.episodes import log_probs_of
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    A,
    B,
    Table,
    as_batch,
    assert_mean,
    exact_gradient,
    gradient,
    recorded,
    reward,
    sampled_gradients,
    token_rewards,
)


def total(sentence):
    return sum(token_rewards(sentence))


def test_the_penalty_is_the_kl_to_the_initial_policy():
    """The gradient is that of E[reward] - kl · KL(π ‖ π₀)."""
    policy = Table(0)
    algorithm = PPO(policy, reward, epochs=1, trace=1.0, kl=0.7, samples=1)
    policy.table.data += torch.randn(13, 5, generator=torch.Generator().manual_seed(9))

    @torch.no_grad()
    def penalized(sentence):
        policies = policy, algorithm.initial_policy
        current, initial = (log_probs_of(p, as_batch([sentence]))[0].sum() for p in policies)
        return total(sentence) - 0.7 * float(current - initial)

    assert_mean(-sampled_gradients(algorithm, 100), exact_gradient(policy, penalized))


@pytest.mark.parametrize("trace", [0.0, 0.5])
def test_advantages_from_the_true_values_are_unbiased_for_any_trace(trace):
    """The critic can represent the true values, because features are one-hot states."""
    policy, values = Table(0), torch.zeros(13)
    for prefix in ((), (A,), (B,), (A, A), (A, B), (B, A), (B, B)):
        sentences = [s for s in SENTENCES if s[: len(prefix)] == prefix]
        batch = as_batch(sentences)
        probability = log_probs_of(policy, batch)[0].detach()[:, len(prefix) :].sum(1).exp()
        state = policy.features(batch.source, batch.prefix)[0, len(prefix)].argmax()
        to_go = torch.tensor([sum(token_rewards(s)[len(prefix) :]) for s in sentences])
        values[state] = (probability * to_go).sum()
    algorithm = PPO(policy, reward, epochs=1, trace=trace, kl=0.0)
    algorithm.critic.weight.data = values
    running = algorithm.critic.running
    running.rate, running.updates = 0.0, torch.tensor(torch.inf)  # the running mean stays 0
    assert_mean(-sampled_gradients(algorithm, 100), exact_gradient(policy, total))


def test_all_epochs_update_on_the_same_episodes():
    generated, algorithm = recorded(PPO, Table(0), epochs=3)
    optimizer = torch.optim.SGD(algorithm.policy.parameters(), lr=1.0)
    losses = []
    for step in (0, 3):
        for loss in algorithm.updates([as_batch([REFERENCE] * 30)], Clock(0, step, 6)):
            optimizer.zero_grad()
            loss.mean.backward()
            optimizer.step()
            losses.append(loss)
    lengths = [int(episodes.length.sum()) for episodes in generated]
    assert [loss.tokens for loss in losses] == [length for length in lengths for _ in range(3)]
    assert [float(loss.metrics["clipped"]) > 0 for loss in losses] == [False, True, True] * 2


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "has_gradient"),
    [
        (1.0, 1.0, False),
        (1.0, -1.0, True),
        (-1.0, -1.0, False),
        (-1.0, 1.0, True),
        (0.0, 1.0, True),
    ],
)
def test_clipping_stops_only_gradients_that_increase_the_ratios_distance(
    log_ratio, advantage, has_gradient
):
    algorithm = PPO(Table(0), reward, clip=0.2)
    old = algorithm.collect(as_batch([REFERENCE] * 5), Clock(0, 0, 1))
    constant = torch.full_like(old.advantage, advantage)
    old = replace(old, log_probs=old.log_probs - log_ratio, advantage=constant)
    assert bool(gradient(algorithm.policy, algorithm.surrogate(old).mean).any()) == has_gradient
