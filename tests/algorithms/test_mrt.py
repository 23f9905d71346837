"""Minimum risk training over distinct candidates."""

from __future__ import annotations

import pytest
import torch

from agents.algorithms.mrt import MRT, is_duplicate
from agents.estimators.episodes import log_probs_of
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    A,
    B,
    Table,
    as_batch,
    exact_gradient,
    gradient,
    loss_at,
    recorded,
    sentences_of,
    token_rewards,
)
from textgen_env.types import EOS


def expected_risk(policy, sentences, alpha):
    """Minus the expected return under Q ∝ π^α over the sentences."""
    log_probs = log_probs_of(policy, as_batch(sentences))[0].sum(1)
    returns = torch.tensor([sum(token_rewards(sentence)) for sentence in sentences])
    return -((alpha * log_probs).softmax(0) * returns).sum()


@pytest.mark.parametrize("reference", [False, True])
def test_the_loss_is_the_expected_risk_over_distinct_candidates(reference):
    references, size = (REFERENCE, (B, EOS)), 12 + reference
    generated, algorithm = recorded(MRT, Table(0), samples=12, alpha=0.3, reference=reference)
    policy = algorithm.policy
    loss = loss_at(algorithm, as_batch(references)).mean
    (episodes,) = generated
    candidates = sentences_of(episodes.action, episodes.length)
    risk = torch.zeros(())
    for own, target in zip((candidates[:size], candidates[size:]), references, strict=True):
        assert (own[-1] == target) or not reference
        distinct = sorted(set(own))
        assert len(distinct) < len(own)
        risk = risk + expected_risk(policy, distinct, alpha=0.3) / 2
    torch.testing.assert_close(loss, risk)
    torch.testing.assert_close(gradient(policy, loss), gradient(policy, risk))


def test_with_all_sentences_as_candidates_it_is_the_exact_policy_gradient():
    """With α = 1, Q is then the policy."""
    generated, algorithm = recorded(MRT, Table(0), samples=1000, alpha=1.0)
    policy, loss = algorithm.policy, loss_at(algorithm, as_batch([REFERENCE]))
    (episodes,) = generated
    assert set(sentences_of(episodes.action, episodes.length)) == set(SENTENCES)
    expected = exact_gradient(policy, lambda sentence: sum(token_rewards(sentence)))
    torch.testing.assert_close(-gradient(policy, loss.mean), expected)


def test_only_later_copies_are_duplicates():
    candidates = torch.tensor([[[A, EOS], [B, EOS], [A, EOS], [A, B], [A, EOS]]])
    assert is_duplicate(candidates).tolist() == [[False, False, True, False, True]]
