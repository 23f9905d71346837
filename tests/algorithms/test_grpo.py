"""GRPO: its relation to RLOO, its scales, its penalty, epochs and clipping."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from agents.algorithms import Clock
from agents.algorithms.grpo import GRPO
from agents.algorithms.rloo import RLOO
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    Table,
    as_batch,
    assert_mean,
    constant_reward,
    gradient,
    log_prob,
    loss_at,
    next_token,
    recorded,
    reward,
    sampled_gradients,
)
from textgen_env.types import EOS

CLOCK = Clock(0, 0, 1)
PLAIN = {"scale_rewards": False, "loss_type": "dr_grpo"}


@pytest.mark.parametrize("samples", [2, 5])
def test_one_unscaled_epoch_is_rloo(samples):
    """The mean includes the sample itself, so the advantage is (K - 1) / K times RLOO's."""
    batch = as_batch([REFERENCE] * 20)
    grpo = loss_at(algorithm := GRPO(Table(0), reward, samples, **PLAIN), batch)
    rloo = loss_at(other := RLOO(Table(0), reward, samples), batch)
    expected = (samples - 1) / samples * gradient(other.policy, rloo.mean)
    torch.testing.assert_close(gradient(algorithm.policy, grpo.mean), expected)


def test_scaled_advantages_have_mean_zero_and_standard_deviation_one():
    group = GRPO(Table(0), reward, 4).collect(as_batch([REFERENCE] * 50), CLOCK)
    returns, advantage = group.episodes.returns.view(-1, 4), group.advantage.view(-1, 4)
    differ = returns.std(1) > 0
    torch.testing.assert_close(advantage.mean(1), torch.zeros(50))
    torch.testing.assert_close(advantage[differ].std(1), torch.ones(50)[differ], rtol=1e-2, atol=0)
    assert not advantage[~differ].any()
    equal = loss_at(algorithm := GRPO(Table(0), constant_reward(7.0)), as_batch([REFERENCE] * 4))
    assert not gradient(algorithm.policy, equal.mean).any()


def test_the_loss_types_weigh_tokens_and_episodes():
    policy, batch = Table(0), as_batch([REFERENCE] * 10)
    losses = {}
    for kind in ("grpo", "dapo", "dr_grpo"):
        algorithm = GRPO(policy, reward, 4, loss_type=kind)
        group = algorithm.collect(batch, CLOCK)
        losses[kind] = gradient(policy, algorithm.surrogate(group).mean)
    rows, expected = group.episodes.batch, dict.fromkeys(losses, 0.0)
    for row in range(len(rows)):
        sentence = tuple(rows.target[row, : rows.length[row]].tolist())
        term = gradient(policy, -group.advantage[row, 0] * log_prob(policy, sentence))
        expected["grpo"] = expected["grpo"] + term / len(sentence) / len(rows)
        expected["dapo"] = expected["dapo"] + term / rows.tokens
        expected["dr_grpo"] = expected["dr_grpo"] + term / len(rows)
    torch.testing.assert_close(losses, expected)


def test_the_penalty_is_the_kl_of_the_initial_policy_from_this_one():
    """With equal rewards, on the prefixes that the policy visits."""
    policy, expected = Table(0), 0.0
    algorithm = GRPO(policy, constant_reward(0.0), 2, kl=0.7, loss_type="dr_grpo")
    policy.table.data += torch.randn(13, 5, generator=torch.Generator().manual_seed(9)) / 2
    for prefix in {sentence[:t] for sentence in SENTENCES for t in range(len(sentence))}:
        visits = log_prob(policy, prefix).exp().detach() if prefix else 1.0
        policies = algorithm.initial_policy, policy
        initial, current = (next_token(p, prefix)[EOS:] for p in policies)
        expected = expected + visits * (initial.exp() * (initial - current)).sum()
    sampled = sampled_gradients(algorithm, 40, 200)
    assert_mean(sampled, 0.7 * gradient(policy, expected))


def test_all_epochs_update_on_the_same_episodes():
    generated, algorithm = recorded(GRPO, Table(0), epochs=3)
    optimizer = torch.optim.SGD(algorithm.policy.parameters(), lr=5.0)
    clipped = []
    for loss in algorithm.updates([as_batch([REFERENCE] * 30)], CLOCK):
        optimizer.zero_grad()
        loss.mean.backward()
        optimizer.step()
        clipped.append(float(loss.metrics["clipped"]) > 0)
    assert len(generated) == 1
    assert clipped == [False, True, True]


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "has_gradient"),
    [(1.0, 1.0, False), (1.0, -1.0, True), (-1.0, -1.0, False), (-1.0, 1.0, True)],
)
def test_clipping_stops_gradients_that_increase_the_ratios_distance(
    log_ratio, advantage, has_gradient
):
    algorithm = GRPO(Table(0), reward)
    old = algorithm.collect(as_batch([REFERENCE] * 5), CLOCK)
    constant = torch.full_like(old.advantage, advantage)
    old = replace(old, log_probs=old.log_probs - log_ratio, advantage=constant)
    assert bool(gradient(algorithm.policy, algorithm.surrogate(old).mean).any()) == has_gradient
