"""On-policy distillation: its two ends, and every gradient by enumeration."""

from __future__ import annotations

import pytest
import torch

from agents.algorithms import Clock
from agents.algorithms.gkd import GKD
from agents.algorithms.minillm import MiniLLM
from agents.algorithms.opd import OPD
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    Table,
    TableOracle,
    as_batch,
    assert_mean,
    gradient,
    log_prob,
    next_token,
    sampled_gradients,
)
from textgen_env.types import EOS, LOG_ZERO

CLOCK = Clock(0, 0, 1)


def models():
    """A student and an oracle that give PAD and BOS no probability."""
    policy, oracle = Table(1), TableOracle(2)
    for table in (policy.table, oracle.policy.table):
        table.data[:, :EOS] = LOG_ZERO
    return policy, oracle


def test_without_future_it_is_gkd_with_the_reverse_kl_on_samples():
    policy, oracle = models()
    batch = as_batch([REFERENCE] * 100)
    opd = OPD(policy, oracle, discount=0.0).loss(batch, CLOCK)
    gkd = GKD(policy, oracle, student_fraction=1.0, divergence="reverse_kl").loss(batch, CLOCK)
    torch.testing.assert_close(opd.mean, gkd.mean)
    torch.testing.assert_close(gradient(policy, opd.mean), gradient(policy, gkd.mean))


def test_with_the_whole_future_it_is_minillm_on_the_same_samples():
    policy, oracle = Table(1), TableOracle(2)
    minillm = MiniLLM(policy, oracle, teacher_mix=0.0, length_normalized=False)
    batch = as_batch([REFERENCE] * 100)
    samples = minillm.generate(batch, CLOCK)
    opd = OPD(policy, oracle, discount=1.0).reverse_kl(samples)
    expected = minillm.loss(batch, CLOCK)
    torch.testing.assert_close(opd.sum, expected.sum)
    torch.testing.assert_close(gradient(policy, opd.sum), gradient(policy, expected.sum))


@pytest.mark.parametrize("expectation", ["full", "sampled"])
@pytest.mark.parametrize("discount", [0.0, 0.5, 1.0])
def test_the_gradient_is_that_of_the_discounted_reverse_kl(discount, expectation):
    policy, oracle, expected = Table(1), TableOracle(2), 0.0
    for sentence in SENTENCES:
        probability = log_prob(policy, sentence).exp().detach()
        log_q, log_p = (
            torch.stack([next_token(x, sentence[:t])[a] for t, a in enumerate(sentence)])
            for x in (policy, oracle)
        )
        reward = (log_p - log_q).detach()
        returns = [
            sum(discount**k * later for k, later in enumerate(reward[t:]))
            for t in range(len(sentence))
        ]
        expected = expected - probability * (torch.stack(returns) * log_q).sum()
    algorithm = OPD(policy, oracle, discount, expectation)
    assert_mean(sampled_gradients(algorithm, per_row=True), gradient(policy, expected))


def test_the_full_expectation_has_less_variance():
    full, sampled = (
        sampled_gradients(OPD(Table(1), TableOracle(2), 0.5, expectation), 50, 1).var(0).sum()
        for expectation in ("full", "sampled")
    )
    assert full < sampled
