"""DistiLLM: its losses on data and samples, its replay buffer and the growth of φ."""

from __future__ import annotations

import pytest
import torch

from agents.algorithms import Clock
from agents.algorithms.distillm import DistiLLM
from agents.losses.divergences import skew_kl, skew_reverse_kl
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
    sampled_gradients,
    sentences_of,
)
from textgen_env.types import EOS

LOSSES = {"skew_kl": skew_kl, "skew_reverse_kl": skew_reverse_kl}


def distillm(**settings):
    return DistiLLM(Table(1), TableOracle(2), **settings)


@pytest.mark.parametrize("fraction", [0.0, 0.6])
@pytest.mark.parametrize("name", LOSSES)
def test_it_minimizes_the_skew_divergence_on_data_and_samples(name, fraction):
    algorithm, expected = distillm(divergence=name, skew=0.3, student_fraction=fraction), 0.0
    policy, oracle = algorithm.policy, algorithm.oracle
    algorithm.replay.capacity = 10**6  # never full
    for sentence in SENTENCES:
        probability = fraction * log_prob(policy, sentence).exp().detach()
        probability += (1 - fraction) * (sentence == REFERENCE)
        batch = as_batch([sentence])
        logits = policy(batch.source, batch.prefix)[0]
        log_probs = oracle.log_probs(batch.source, batch.prefix)[0]
        expected = expected + probability * len(sentence) * LOSSES[name](logits, log_probs, 0.3)
    expected = gradient(policy, expected)
    if fraction:
        assert_mean(sampled_gradients(algorithm, per_row=True), expected)
    else:
        torch.testing.assert_close(sampled_gradients(algorithm, 1, per_row=True)[0], expected)


def filled(capacity=4, **settings):
    """An algorithm whose buffer holds ``capacity`` known sequences, added at step 0."""
    algorithm = distillm(capacity=capacity, student_fraction=1.0, **settings)
    algorithm.replay.add(as_batch([(A, EOS), (B, B, EOS)] * (capacity // 2)), 0)
    return algorithm


def test_samples_are_new_until_the_buffer_is_full_and_then_more_and_more_old():
    batch, rows = as_batch([REFERENCE] * 1000), 1000
    for steps, capacity, replayed in [(1000, 2000, 0.0), (1000, 4, 0.5), (501, 4, 0.998)]:
        algorithm = distillm(capacity=capacity, student_fraction=0.8)
        algorithm.replay.add(as_batch([(A, EOS)] * 4), 0)
        metrics = algorithm.loss(batch, Clock(0, 500, steps)).metrics
        share = 0.8 * replayed
        assert abs(metrics["replayed"] - share) <= 4 * (share * (1 - share) / rows) ** 0.5
        share = 0.8 * (1 - replayed)
        assert abs(metrics["new"] - share) <= 4 * (share * (1 - share) / rows) ** 0.5


def test_old_sequences_are_drawn_whole_and_equally_often():
    buffer = filled().replay
    drawn = buffer.sample(as_batch([REFERENCE] * 2000), Clock(0, 1, 2))
    sentences = sentences_of(drawn.target, drawn.length)
    assert set(sentences) == {(A, EOS), (B, B, EOS)}
    assert torch.equal(drawn.source, as_batch(sentences).source)
    counts = drawn.index.bincount(minlength=4)
    assert (counts - 500).abs().max() < 4 * (2000 * 0.25 * 0.75) ** 0.5


def test_the_buffer_forgets_the_oldest_and_hides_those_of_the_current_update():
    buffer = filled().replay
    buffer.add(as_batch([(B, EOS)] * 2), 3)
    assert [step for step, _, _ in buffer.before(3)] == [0, 0, 0, 0]
    assert [step for step, _, _ in buffer.before(4)] == [0, 0, 3, 3]
    buffer.add(as_batch([(A, A, EOS)] * 3), 5)
    assert [(step, row) for step, row, _ in buffer.before(6)] == [(3, 1), (5, 0), (5, 1), (5, 2)]


def test_sub_batches_in_any_order_add_up_and_leave_the_same_buffer():
    batch, clock = as_batch(SENTENCES * 4), Clock(0, 5, 10)
    whole, divided = filled(), filled()
    expected = whole.loss(batch, clock)
    losses = [
        divided.loss(batch.rows(rows), clock) for rows in torch.arange(len(batch)).flip(0).chunk(3)
    ]
    assert 0 < expected.metrics["replayed"] < 1
    assert sum(loss.weight for loss in losses) == expected.weight
    torch.testing.assert_close(sum(loss.sum for loss in losses), expected.sum)
    states = [algorithm.replay.get_extra_state() for algorithm in (whole, divided)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_fraction_grows_when_the_validation_loss_rises():
    algorithm, fractions = distillm(student_fraction=0.75, tolerance=0.1), []
    for loss in (2.0, 1.0, 1.05, 1.2, 0.5, 0.9, 1.5):
        algorithm.validated({"valid_score": 0.0, "valid_loss": loss})
        fractions.append(round(float(algorithm.fraction), 6))
    assert fractions == [0.75, 0.75, 0.75, 0.85, 0.85, 0.95, 1.0]


def test_fraction_and_buffer_survive_a_resume():
    algorithm = filled()
    algorithm.validated({"valid_loss": 1.0})
    algorithm.fraction.fill_(0.5)
    resumed = distillm(capacity=4)
    resumed.load_state_dict(algorithm.state_dict())
    for learner in (algorithm, resumed):
        learner.validated({"valid_loss": 1.1})
    batch, clock = as_batch([REFERENCE] * 50), Clock(0, 5, 10)
    losses = [learner.loss(batch, clock) for learner in (algorithm, resumed)]
    assert losses[0].metrics["student_fraction"] == pytest.approx(0.6)
    assert losses[0].metrics["replayed"] > 0
    assert torch.equal(losses[0].sum, losses[1].sum)
    states = [learner.state_dict() for learner in (algorithm, resumed)]
    assert torch.equal(states[0]["previous_loss"], states[1]["previous_loss"])
    assert all(
        torch.equal(tensor, states[1]["replay._extra_state"][key])
        for key, tensor in states[0]["replay._extra_state"].items()
    )
