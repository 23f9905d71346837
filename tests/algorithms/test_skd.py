"""SKD: corrected sequences and the gradient on them, by enumeration."""

from __future__ import annotations

import pytest
import torch

from agents.algorithms import Clock
from agents.algorithms.gkd import GKD
from agents.algorithms.skd import SKD
from agents.losses.divergences import make_divergence
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    TOKENS,
    Table,
    TableOracle,
    as_batch,
    assert_mean,
    gradient,
    loss_at,
    next_token,
    sampled_gradients,
)


def corrected(policy, oracle, top_k, sentence):
    """The probability of a sentence when the oracle replaces all but its ``top_k`` best tokens."""
    probability = torch.ones(())
    for time, token in enumerate(sentence):
        own, expert = (next_token(x, sentence[:time]).exp() for x in (policy, oracle))
        accepted = expert.topk(top_k).indices
        rejected = 1 - own[accepted].sum()
        probability = probability * (own[token] * (token in accepted) + rejected * expert[token])
    return probability.detach()


@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize("name", ["forward_kl", "jsd"])
def test_it_minimizes_the_divergence_on_the_corrected_sequences(top_k, name):
    policy, oracle, expected, total = Table(1), TableOracle(2), 0.0, 0.0
    algorithm = SKD(policy, oracle, top_k, name, beta=0.3)
    for sentence in SENTENCES:
        probability = corrected(policy, oracle, top_k, sentence)
        batch = as_batch([sentence])
        logits = policy(batch.source, batch.prefix)[0]
        log_probs = oracle.log_probs(batch.source, batch.prefix)[0]
        divergence = make_divergence(name, 0.3)(logits, log_probs)
        expected, total = expected + probability * len(sentence) * divergence, total + probability
    torch.testing.assert_close(total, torch.ones(()))
    assert_mean(sampled_gradients(algorithm, per_row=True), gradient(policy, expected))


def test_accepting_every_token_is_on_policy_distillation():
    oracle, batch = TableOracle(2), as_batch([REFERENCE] * 50)
    losses = [
        loss_at(algorithm, batch)
        for algorithm in (
            SKD(Table(1), oracle, len(TOKENS), "reverse_kl"),
            GKD(Table(1), oracle, student_fraction=1.0, divergence="reverse_kl"),
        )
    ]
    torch.testing.assert_close(losses[0].sum, losses[1].sum)
    assert losses[0].weight == losses[1].weight
    assert losses[0].metrics["replaced"] == 0


def test_the_share_of_replaced_tokens_is_a_metric():
    policy, oracle = Table(1), TableOracle(2)
    batch = as_batch([(token,) for token in TOKENS] * 2000)  # one step
    own, expert = (next_token(x, ()).exp() for x in (policy, oracle))
    rejected = 1 - own[expert.argmax()].item()
    replaced = SKD(policy, oracle, accept_top_k=1).loss(batch, Clock(0, 0, 1)).metrics["replaced"]
    assert abs(replaced - rejected) < 4 * (rejected * (1 - rejected) / len(batch)) ** 0.5
