"""GOLD against its definition, computed sentence by sentence."""

from __future__ import annotations

import pytest
import torch

from agents.algorithms.gold import Gold
from support.enumerable import (
    REFERENCE,
    A,
    B,
    Table,
    as_batch,
    gradient,
    loss_at,
    next_token,
)
from textgen_env.types import EOS

U, FLOOR, LOG_FLOOR, GAMMA = 0.25, 0.15, -1.2, 0.6


def weighted_log_likelihood(policy, initial, sentence, credit):
    """Σ_t max(u, π_t) Q̂_t log π_t with a window of one later action."""
    steps = [(sentence[:time], token) for time, token in enumerate(sentence)]
    current = [next_token(policy, prefix)[token] for prefix, token in steps]
    rewards = []
    for prefix, token in steps:
        log_prob = next_token(initial, prefix)[token].item()
        earned = log_prob - LOG_FLOOR if credit == "product" else torch.tensor(log_prob).exp()
        rewards.append(max(FLOOR, float(earned)))
    rewards.append(-LOG_FLOOR if credit == "product" else 1.0)  # π₀ is 1 after the end
    total = torch.zeros(())
    for t, log_prob in enumerate(current):
        value = 1.0 if credit == "delta" else rewards[t] + GAMMA * rewards[t + 1]
        total = total + max(U, float(log_prob.detach().exp())) * value * log_prob
    return total


@pytest.mark.parametrize("credit", ["delta", "product", "sum"])
def test_demonstrations_are_weighted_as_defined(credit):
    policy, initial = Table(0), Table(0)
    settings = {"floor": FLOOR, "log_floor": LOG_FLOOR, "window": 1, "discount": GAMMA}
    algorithm = Gold(policy, credit, weight_floor=U, **settings)
    policy.table.data += torch.randn(13, 5, generator=torch.Generator().manual_seed(9))
    sentences = [REFERENCE, (B, EOS), (A, A, B)]
    terms = [weighted_log_likelihood(policy, initial, s, credit) for s in sentences]
    loss, expected = loss_at(algorithm, as_batch(sentences)), -sum(terms) / 8
    assert loss.weight == 8
    torch.testing.assert_close(loss.mean, expected)
    torch.testing.assert_close(gradient(policy, loss.mean), gradient(policy, expected))
