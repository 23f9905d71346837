"""AdaSwitch: when the oracle takes over, and the gradient, by enumeration."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from agents.algorithms.adaswitch import AdaSwitch
from agents.algorithms.gkd import GKD
from agents.losses.divergences import forward_kl
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    Table,
    TableOracle,
    as_batch,
    assert_mean,
    gradient,
    loss_at,
    next_token,
    sampled_gradients,
)


def mixed_probability(policy, oracle, threshold, sentence):
    """The probability of ``sentence``, and whether the oracle has ended it."""
    probability, kls, switched = torch.ones(()), [], False
    for time, token in enumerate(sentence):
        own, expert = (next_token(x, sentence[:time]).detach() for x in (policy, oracle))
        kl = kl_divergence(Categorical(logits=expert), Categorical(logits=own)).item()
        switched = switched or bool(kls and kl > threshold * sum(kls) / len(kls))
        kls.append(kl)
        probability = probability * (expert if switched else own)[token].exp()
    return probability, switched


@pytest.mark.parametrize("threshold", [0.0, 0.8, 1.2])
def test_it_minimizes_the_divergence_on_sequences_that_the_oracle_ends(threshold):
    policy, oracle, expected, total, ended = Table(1), TableOracle(2), 0.0, 0.0, 0.0
    algorithm = AdaSwitch(policy, oracle, threshold)
    for sentence in SENTENCES:
        probability, switched = mixed_probability(policy, oracle, threshold, sentence)
        batch = as_batch([sentence])
        logits = policy(batch.source, batch.prefix)[0]
        divergence = forward_kl(logits, oracle.log_probs(batch.source, batch.prefix)[0])
        expected = expected + probability * len(sentence) * divergence
        total, ended = total + probability, ended + probability * switched
    torch.testing.assert_close(total, torch.ones(()))
    assert 0 < ended < 1
    assert_mean(sampled_gradients(algorithm, per_row=True), gradient(policy, expected))
    metrics = loss_at(algorithm, as_batch([REFERENCE] * 4000)).metrics
    assert abs(metrics["switched"] - ended) < 4 * (ended * (1 - ended) / 4000) ** 0.5


def test_without_a_switch_it_is_on_policy_distillation():
    batch = as_batch([REFERENCE] * 50)
    switch = loss_at(AdaSwitch(Table(1), TableOracle(2), threshold=1e6), batch)
    gkd = loss_at(GKD(Table(1), TableOracle(2), 1.0, "forward_kl"), batch)
    torch.testing.assert_close(switch.sum, gkd.sum)
    assert switch.metrics["switched"] == 0


def test_the_mean_is_over_the_window_and_the_switch_is_for_good():
    """KLs of 1, 3, 1, 1.5: the last exceeds the window's mean of 1 only if 3 is forgotten."""
    expert = torch.tensor([[-torch.inf, -torch.inf, 0.0, -30.0]])

    def own(kl):  # the student's probability of the expert's token is exp(-kl)
        q = torch.exp(torch.tensor(-float(kl)))
        return torch.stack([q - torch.inf, q - torch.inf, q.log(), (1 - q).log()])[None]

    def switches(window, kls):
        algorithm = AdaSwitch(Table(1), TableOracle(2), 1.2, window)
        memory = torch.full((1, window), torch.nan), torch.zeros(1, dtype=torch.bool)
        acted = []
        for kl in kls:
            _, expert_acts, memory = algorithm.choose(own(kl), expert, memory, torch.zeros(1, 2))
            acted.append(bool(expert_acts))
        return acted

    assert switches(1, [3, 1, 1.5, 0.1]) == [False, False, True, True]
    assert switches(2, [3, 1, 1.5, 0.1]) == [False, False, False, False]
