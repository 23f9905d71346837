"""Generated episodes: frequencies, random numbers, rewards and log-probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.algorithms import Clock
from agents.estimators.episodes import generate_episodes, log_probs_of
from agents.estimators.returns import padded
from agents.model import build_policy
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    A,
    Table,
    as_batch,
    assert_frequencies,
    log_prob,
    reward,
    sentences_of,
)
from support.learners import batch_of
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS


def test_log_probabilities_are_those_of_the_sentences_and_sum_to_one():
    assert len(SENTENCES) == 15
    policy = Table(0)
    log_probs = log_probs_of(policy, as_batch(SENTENCES))[0].sum(1)
    expected = torch.stack([log_prob(policy, sentence) for sentence in SENTENCES])
    torch.testing.assert_close(log_probs, expected)
    torch.testing.assert_close(log_probs.exp().sum(), torch.tensor(1.0))


def test_sentences_are_sampled_with_their_probabilities():
    policy, uniform = Table(0), Clock(0, 0, 1).uniform
    batch = generate_episodes(policy, reward, as_batch([REFERENCE] * 1000), uniform, 4).batch
    probabilities = {sentence: log_prob(policy, sentence).exp().item() for sentence in SENTENCES}
    assert_frequencies(sentences_of(batch.target, batch.length), probabilities)


def test_samples_of_a_row_do_not_depend_on_its_batch():
    """Not even on the limits of the other rows."""
    batch, uniform = as_batch([REFERENCE] * 20), Clock(3, 5, 9).uniform
    batch.limit[::2] = 1
    whole = generate_episodes(Table(0), reward, batch, uniform, samples=3)
    for rows in (slice(0, None, 2), slice(1, None, 2)):
        sub_batch = batch.rows(torch.arange(20)[rows])
        part = generate_episodes(Table(0), reward, sub_batch, uniform, samples=3)
        for x, y in ((whole.batch.target, part.batch.target), (whole.rewards, part.rewards)):
            same_rows = x.unflatten(0, (20, 3))[rows].flatten(0, 1)
            assert torch.equal(same_rows[:, : y.shape[1]], y)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reward_that_is_not_finite_is_an_error_that_names_row_and_step(value):
    def invalid_in_the_third_row(index, trajectories):
        rewards = np.zeros(trajectories.action.shape)
        rewards[2, 0] = value
        return rewards

    batch = replace(as_batch([(A, EOS)] * 3), index=torch.tensor([4, 5, 6]))
    message = f"the reward of training row 6 at step 1 is {value}: rewards must be finite"
    with pytest.raises(UserError, match=message):
        generate_episodes(Table(0), invalid_in_the_third_row, batch, Clock(0, 0, 1).uniform)


@pytest.mark.parametrize("name", ["transformer", "gru"])
def test_log_probabilities_are_those_of_generation(name, task):
    """No dropout, no PAD or BOS, and training mode is restored."""
    policy = build_policy(name, {"dropout": 0.5}, task.vocabulary, seed=0).train()
    batch = batch_of(task, tokens=100)
    (first, features), (again, _) = (log_probs_of(policy, batch) for _ in range(2))
    assert torch.equal(first, again)
    assert first.requires_grad
    assert all(module.training for module in policy.modules())
    logits = policy.eval()(batch.source, batch.prefix, batch.mask)[:, BOS + 1 :]
    action = batch.target[batch.mask][:, None] - BOS - 1
    expected = logits.log_softmax(-1).gather(1, action)[:, 0]
    torch.testing.assert_close(first, padded(expected, batch.mask))
    torch.testing.assert_close(features, policy.features(batch.source, batch.prefix, batch.mask))
    assert features.shape == (batch.tokens, policy.feature_width)
