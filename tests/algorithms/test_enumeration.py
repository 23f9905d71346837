"""Imitation: every sampled loss against the exact gradient of a task with fifteen sentences; mixtures are what they say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from agents.algorithms import Clock
from agents.algorithms.dagger import DAgger, relabel
from agents.algorithms.gkd import GKD
from agents.algorithms.scheduled_sampling import ScheduledSampling
from agents.discovery import build
from agents.losses.divergences import DIVERGENCES, make_divergence
from support.enumerable import (
    SENTENCES,
    A,
    B,
    Table,
    TableOracle,
    assert_mean,
    episodes,
    gradient,
    log_prob,
    next_token,
)
from textgen_env.errors import UserError
from textgen_env.profiler import Profiler
from textgen_env.types import BOS, EOS

DATA = (A, B, EOS)


def learner(make, **settings):
    given = {"policy": Table(1), "oracle": TableOracle(2)}
    return build(make, settings, **given)


def at(step):
    """The clock in the middle of a training, its random numbers by ``step``."""
    return Clock(step, 1, 2)


def estimates(algorithm, sentence=DATA, rounds=50, rows=200, a_row=False):
    """Gradients ``[rounds, 13, 5]`` of the loss; ``a_row``: of its sum over positions, averaged over rows."""
    batch, found = episodes([sentence] * rows), []
    for step in range(rounds):
        loss = algorithm.loss(batch, at(step))
        found.append(gradient(algorithm.policy, loss.sum / (rows if a_row else loss.weight)))
    return torch.stack(found)


def followed(policy, sentence, steps=3):
    """``sentence`` written to its end by the likeliest tokens."""
    while len(sentence) < steps and sentence[-1:] != (EOS,):
        sentence = (*sentence, int(next_token(policy, sentence).argmax()))
    return sentence


# --- mixtures


def test_a_mixture_by_step_is_that_of_the_two_distributions():
    algorithm = learner(DAgger, mixture="step", beta="constant", rate=0.4, top_k=0)
    with Profiler({}, "rest") as profiler:
        batch, on_policy = algorithm.roll_in(episodes([DATA] * 4000), at(0))
    assert profiler.counts["decoded"] == batch.tokens
    written = [
        tuple(row[:n]) for row, n in zip(batch.target.tolist(), batch.length.tolist(), strict=True)
    ]
    for sentence in SENTENCES:
        chance = 1.0
        for time, action in enumerate(sentence):
            before = sentence[:time]
            obeys = float(action == next_token(algorithm.oracle, before).argmax())
            chance *= 0.4 * obeys + 0.6 * next_token(algorithm.policy, before)[action].exp().item()
        assert (
            abs(written.count(sentence) / 4000 - chance) < 4 * (chance * (1 - chance) / 4000) ** 0.5
        )
    assert 0.6 < on_policy.float().mean() < 1  # 0.6 after one step, more after three


@pytest.mark.parametrize(("rate", "who"), [(1.0, "oracle"), (0.0, "policy")])
def test_a_mixture_by_step_has_the_oracle_and_the_student_as_its_ends(rate, who):
    algorithm = learner(DAgger, mixture="step", beta="constant", rate=rate, labels="action")
    batch, on_policy = algorithm.roll_in(episodes([DATA]), at(0))
    assert tuple(batch.target[0, : batch.length[0]].tolist()) == followed(
        getattr(algorithm, who), ()
    )
    assert (algorithm.oracle.queries > 0) == (who == "oracle")
    assert on_policy.item() == (who == "policy")


def test_a_batch_has_one_coin_and_a_sequence_its_own():
    shares = {
        mixture: [
            imitator.loss(episodes([DATA] * 20), at(seed)).metrics["on_policy"]
            for seed in range(60)
        ]
        for mixture in ("batch", "sequence")
        for imitator in [learner(DAgger, mixture=mixture, beta="constant", rate=0.5)]
    }
    assert set(shares["batch"]) == {0.0, 1.0}
    assert abs(np.mean(shares["batch"]) - 0.5) < 4 * (0.25 / 60) ** 0.5
    assert 0 < min(shares["sequence"]) < max(shares["sequence"]) < 1


def test_labels_of_a_mixture_by_step_are_the_oracles_everywhere():
    algorithm = learner(DAgger, mixture="step", labels="action", beta="constant", rate=0.5, top_k=0)
    batch, on_policy = algorithm.roll_in(episodes([DATA] * 50), at(0))
    target = relabel(algorithm.oracle, batch, on_policy)
    assert torch.equal(
        target[batch.mask], TableOracle(2).action(batch.source, batch.prefix, batch.mask)
    )


# --- gradients


@pytest.mark.parametrize("passes", [1, 3])
def test_scheduled_sampling_learns_from_the_mixed_prefixes_it_should(passes):
    """One pass predicts from the reference's prefix, T passes from the mixed one: Bengio's sequential procedure."""
    algorithm = learner(ScheduledSampling, epsilon="constant", rate=0.3, passes=passes)
    policy, expected = algorithm.policy, 0.0
    for mixed in itertools.product((EOS, A, B), repeat=2):
        chance = 1.0
        for time, token in enumerate(mixed):
            before = DATA[:time] if passes == 1 else mixed[:time]
            chance *= (
                0.3 * (token == DATA[time]) + 0.7 * next_token(policy, before)[token].exp().item()
            )
        prefix = torch.tensor([[BOS, *mixed]])
        expected = expected + chance * torch.nn.functional.cross_entropy(
            policy(prefix, prefix)[0], torch.tensor(DATA)
        )
    assert_mean(estimates(algorithm), gradient(policy, expected))


@pytest.mark.parametrize("student_fraction", [0.0, 0.6])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_gkd_descends_the_divergence_on_both_kinds_of_prefix(name, student_fraction):
    algorithm = learner(GKD, student_fraction=student_fraction, divergence=name, beta=0.3)
    policy, expected = algorithm.policy, 0.0
    for sentence in SENTENCES:
        chance = student_fraction * log_prob(policy, sentence).exp().detach() + (
            1 - student_fraction
        ) * (sentence == DATA)
        batch = episodes([sentence])
        logits, expert = (
            policy(batch.source, batch.prefix)[0],
            algorithm.oracle.log_probs(batch.source, batch.prefix)[0],
        )
        expected = expected + chance * len(sentence) * make_divergence(name, 0.3)(logits, expert)
    expected = gradient(policy, expected)
    if student_fraction:
        assert_mean(estimates(algorithm, a_row=True), expected)
    else:
        torch.testing.assert_close(estimates(algorithm, rounds=1, a_row=True)[0], expected)


# --- mistakes


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (
            GKD,
            {"student_fraction": 1.2},
            "student_fraction=1.2: a number of at least 0 and at most 1",
        ),
        (GKD, {"divergence": "kl"}, "unknown divergence 'kl'"),
        (GKD, {"beta": -0.1}, r"beta=-0.1: .* between 0 \(forward KL\) and 1"),
        (DAgger, {"mixture": "token"}, "unknown mixture 'token'"),
        (
            ScheduledSampling,
            {"epsilon": "sigmoid"},
            "unknown beta schedule 'sigmoid'; did you mean 'reverse_sigmoid'",
        ),
        (ScheduledSampling, {"top_k": 5}, "top_k=5: a number of at least 0 and at most 1"),
        (ScheduledSampling, {"passes": 0}, "passes=0"),
    ],
)
def test_settings_out_of_range_are_one_clear_line(make, settings, message):
    with pytest.raises(UserError, match=message):
        learner(make, **settings)


@pytest.mark.parametrize("make", [GKD, DAgger])
def test_without_an_expert_an_imitator_says_so(make):
    with pytest.raises(UserError, match=f"{make.__name__} needs an oracle, and there is none here"):
        build(make, {}, policy=Table(0), oracle=None)
