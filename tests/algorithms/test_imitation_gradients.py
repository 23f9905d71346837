"""Imitation: gradients of sampled losses against their expectations, by enumeration."""

from __future__ import annotations

import itertools

import pytest
import torch

from agents.algorithms.gkd import GKD
from agents.algorithms.scheduled_sampling import ScheduledSampling
from agents.losses.divergences import DIVERGENCES, make_divergence
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    TOKENS,
    Table,
    TableOracle,
    as_batch,
    assert_mean,
    gradient,
    log_prob,
    next_token,
    sampled_gradients,
)
from textgen_env.types import BOS


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
