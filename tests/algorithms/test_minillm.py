"""MiniLLM: the gradient of the sequence-level reverse KL, by enumeration."""

from __future__ import annotations

import pytest
import torch

from agents.algorithms.minillm import MiniLLM
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    A,
    B,
    Table,
    TableOracle,
    as_batch,
    assert_mean,
    gradient,
    log_prob,
    loss_at,
    sampled_gradients,
)
from textgen_env.types import EOS


def minillm(**settings):
    return MiniLLM(Table(1), TableOracle(2), **settings)


def reverse_kl_gradient(algorithm, sentences):
    q = torch.stack([log_prob(algorithm.policy, sentence) for sentence in sentences])
    p = torch.stack([log_prob(algorithm.oracle, sentence) for sentence in sentences])
    return gradient(algorithm.policy, (q.exp() * (q - p)).sum())


@pytest.mark.parametrize(("rounds", "rows"), [(50, 200), (1000, 1)])
def test_the_gradient_is_unbiased_for_any_batch_size(rounds, rows):
    algorithm = minillm(teacher_mix=0.0, length_normalized=False)
    sampled = len(REFERENCE) * sampled_gradients(algorithm, rounds, rows)
    assert_mean(sampled, reverse_kl_gradient(algorithm, SENTENCES))


def test_samples_from_the_teacher_mixture_are_weighted():
    """With a single step, the approximate importance weight is exact."""
    sampled = sampled_gradients(algorithm := minillm(teacher_mix=0.5), sentence=(A,))
    assert_mean(sampled, reverse_kl_gradient(algorithm, [(EOS,), (A,), (B,)]))


def test_the_single_step_term_reduces_variance():
    algorithm = minillm(teacher_mix=0.0, length_normalized=False)
    policy, oracle = algorithm.policy, algorithm.oracle
    log_probs = torch.stack([log_prob(policy, y) for y in SENTENCES])
    log_ratios = (log_probs - torch.stack([log_prob(oracle, y) for y in SENTENCES])).detach()
    likelihood_ratio = torch.stack(
        [
            gradient(policy, log_ratio * log_prob(policy, y))
            for y, log_ratio in zip(SENTENCES, log_ratios, strict=True)
        ]
    )
    probability = log_probs.exp().detach()[:, None, None]
    mean = (probability * likelihood_ratio).sum(0)
    variance = (probability * likelihood_ratio.square()).sum(0) - mean.square()
    sampled = len(REFERENCE) * sampled_gradients(algorithm, rounds=200, rows=1)
    assert sampled.var(0).sum() < variance.sum()


def test_without_teacher_mixing_the_oracle_scores_only_what_was_generated():
    algorithm = minillm(teacher_mix=0.0)
    loss = loss_at(algorithm, as_batch([REFERENCE] * 20))
    assert algorithm.oracle.queries == loss.tokens


@pytest.mark.parametrize(
    ("length_normalized", "expected"), [(False, [6.0, 4.0, 0.0, 0.0]), (True, [3.0, 4.0, 0.0, 0.0])]
)
def test_later_rewards_are_summed_or_averaged(length_normalized, expected):
    mask = torch.tensor([[True, True, True], [True, False, False]])
    reward = torch.tensor([1.0, 2.0, 4.0, 8.0])
    algorithm = minillm(length_normalized=length_normalized)
    assert algorithm.after(reward, mask).tolist() == expected
