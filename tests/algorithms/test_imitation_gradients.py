"""Imitation: gradients of sampled losses against their expectations, by enumeration."""

from __future__ import annotations

import itertools

import pytest
import torch

from agents.algorithms import Clock
from agents.algorithms.dagger import DAgger
from agents.algorithms.gkd import GKD
from agents.algorithms.scheduled_sampling import ScheduledSampling
from agents.algorithms.word_kd import WordKD
from agents.losses.divergences import DIVERGENCES, make_divergence
from agents.losses.sequence import clone, cross_entropy, distillation_loss
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    TOKENS,
    B,
    Table,
    TableOracle,
    as_batch,
    assert_mean,
    gradient,
    log_prob,
    loss_at,
    next_token,
    sampled_gradients,
)
from textgen_env.types import BOS, EOS


@pytest.mark.parametrize("passes", [1, 3])
def test_scheduled_sampling_learns_from_the_mixed_prefixes(passes):
    """One pass predicts from the reference, T passes as in Bengio's sequential procedure."""
    epsilon = 0.3
    policy, expected = Table(1), 0.0
    algorithm = ScheduledSampling(policy, epsilon="constant", rate=epsilon, passes=passes)
    for mixed in itertools.product(TOKENS, repeat=2):
        probability = 1.0
        for time, token in enumerate(mixed):
            prefix = REFERENCE[:time] if passes == 1 else mixed[:time]
            sampled = next_token(policy, prefix)[token].exp().item()
            probability *= epsilon * (token == REFERENCE[time]) + (1 - epsilon) * sampled
        prefix = torch.tensor([[BOS, *mixed]])
        expected = expected + probability * torch.nn.functional.cross_entropy(
            policy(prefix, prefix)[0], torch.tensor(REFERENCE)
        )
    assert_mean(sampled_gradients(algorithm), gradient(policy, expected))


@pytest.mark.parametrize("student_fraction", [0.0, 0.6])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_gkd_minimizes_the_divergence_on_data_and_samples(name, student_fraction):
    policy, oracle, expected = Table(1), TableOracle(2), 0.0
    algorithm = GKD(policy, oracle, student_fraction, name, beta=0.3)
    for sentence in SENTENCES:
        probability = student_fraction * log_prob(policy, sentence).exp().detach()
        probability += (1 - student_fraction) * (sentence == REFERENCE)
        batch = as_batch([sentence])
        logits = policy(batch.source, batch.prefix)[0]
        log_probs = oracle.log_probs(batch.source, batch.prefix)[0]
        divergence = make_divergence(name, 0.3)(logits, log_probs)
        expected = expected + probability * len(sentence) * divergence
    expected = gradient(policy, expected)
    if student_fraction:
        assert_mean(sampled_gradients(algorithm, per_row=True), expected)
    else:
        sampled = sampled_gradients(algorithm, rounds=1, per_row=True)
        torch.testing.assert_close(sampled[0], expected)


FULL_DISTRIBUTIONS = [WordKD, GKD, DAgger]


@pytest.mark.parametrize("kind", FULL_DISTRIBUTIONS)
def test_the_nll_of_the_data_can_be_a_share_of_the_loss(kind):
    """Of the data also where the student's samples have replaced it."""
    batch = as_batch([REFERENCE, (B, EOS)] * 20)
    plain, mixed = (
        loss_at(kind(Table(1), TableOracle(2), **settings), batch)
        for settings in ({}, {"nll": 0.25})
    )
    data = clone(Table(1), batch, batch.target[batch.mask])
    torch.testing.assert_close(mixed.sum, 0.75 * plain.sum + 0.25 * data.sum)
    assert mixed.weight == plain.weight


def test_the_share_of_the_nll_is_that_of_each_batch_in_a_group():
    batches = [as_batch([REFERENCE] * 20), as_batch([(B, EOS)] * 20)]
    algorithm = DAgger(Table(1), TableOracle(2), group=2, nll=0.25)
    grouped = [loss.sum for loss in algorithm.updates(batches, Clock(0, 500, 1000))]
    single = [
        algorithm.loss(batch, Clock(0, 500 + number, 1000)).sum
        for number, batch in enumerate(batches)
    ]
    torch.testing.assert_close(grouped, single)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (WordKD, {}),
        (DAgger, {"beta": "constant", "rate": 1.0}),
        (GKD, {"student_fraction": 0.0, "divergence": "forward_kl"}),
    ],
)
def test_the_tail_of_a_top_k_oracle_can_be_one_outcome(kind, settings):
    policy, oracle, batch = Table(1), TableOracle(2), as_batch(SENTENCES)
    loss = make_divergence("forward_kl", 0.5) if kind is GKD else cross_entropy
    algorithm = kind(policy, oracle, label_top_k=2, tail="bucket", **settings)
    expected = distillation_loss(policy, oracle, batch, loss, 2, "bucket")
    torch.testing.assert_close(loss_at(algorithm, batch).sum, expected.sum)
