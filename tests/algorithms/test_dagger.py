"""DAgger: whose prefixes are used, what the oracle is queried about, and which labels result."""

from __future__ import annotations

import pytest
import torch

from agents.algorithms import Clock, Loss
from agents.algorithms.dagger import DAgger, relabel
from agents.generation.rollout import rollout
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    Table,
    TableOracle,
    as_batch,
    assert_frequencies,
    completed,
    next_token,
    sentences_of,
)
from support.learners import START, batch_of, first_loss, make, small_policy
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.profiler import Profiler
from textgen_env.tasks.task import expert


def dagger(task, **settings):
    return make("imitkd_full", task, small_policy(task), **settings)


def table_dagger(**settings):
    return DAgger(Table(1), TableOracle(2), beta="constant", **settings)


def at(progress):
    return Clock(seed=0, step=round(progress * 1000), steps=1000)


def costs(algorithm, batch, clock=START):
    """The loss, the tokens that the student decoded for it, and the queries of the oracle."""
    before = algorithm.oracle.queries
    with Profiler({}, "rest") as profiler:
        loss = first_loss(algorithm, batch, clock)
    return loss, profiler.counts.get("decoded", 0), algorithm.oracle.queries - before


# --- mixtures


@pytest.mark.parametrize(("rate", "on_policy"), [(1.0, 0.0), (0.0, 1.0)])
def test_beta_of_one_keeps_the_data_and_beta_of_zero_replaces_it(task, rate, on_policy):
    algorithm = dagger(task, beta="constant", rate=rate)
    loss, decoded, _ = costs(algorithm, batch_of(task), at(0.5))
    assert loss.metrics["on_policy"] == on_policy
    assert (decoded > 0) == (on_policy == 1)


def test_each_sequence_has_its_own_coin(task):
    batch, algorithm = batch_of(task), dagger(task, beta="constant", rate=0.5)
    fractions = []
    for step in range(30):
        mixed, on_policy = algorithm.roll_in(batch, START.later(step))
        width = min(mixed.target.shape[1], batch.target.shape[1])
        assert torch.equal(mixed.target[~on_policy, :width], batch.target[~on_policy, :width])
        assert torch.equal(mixed.length[~on_policy], batch.length[~on_policy])
        rows = batch.rows(on_policy)
        generated = rollout(algorithm.policy, rows.source, rows.limit)
        target = mixed.rows(on_policy).target[:, : generated.action.shape[1]]
        assert torch.equal(mixed.length[on_policy], generated.length)
        assert torch.equal(target, generated.action)
        fractions.append(on_policy.float().mean().item())
    assert 0 < min(fractions) < max(fractions) < 1
    assert abs(sum(fractions) / 30 - 0.5) < 4 * (0.25 / (30 * len(batch))) ** 0.5


def test_a_batch_mixture_has_one_coin(task):
    batch, algorithm = batch_of(task), dagger(task, beta="constant", rate=0.5, mixture="batch")
    rounds = 60
    fractions = [
        algorithm.roll_in(batch, START.later(step))[1].float().mean().item()
        for step in range(rounds)
    ]
    assert set(fractions) == {0.0, 1.0}
    assert abs(sum(fractions) / rounds - 0.5) < 4 * (0.25 / rounds) ** 0.5


def test_a_step_mixture_has_the_distribution_of_the_mixture_policy():
    algorithm = table_dagger(mixture="step", rate=0.4, top_k=0)
    with Profiler({}, "rest") as profiler:
        batch, on_policy = algorithm.roll_in(as_batch([REFERENCE] * 4000), at(0.5))
    assert profiler.counts["decoded"] == batch.tokens
    probabilities = {}
    for sentence in SENTENCES:
        probabilities[sentence] = 1.0
        for time, action in enumerate(sentence):
            by_oracle = action == int(next_token(algorithm.oracle, sentence[:time]).argmax())
            by_student = next_token(algorithm.policy, sentence[:time])[action].exp().item()
            probabilities[sentence] *= 0.4 * by_oracle + 0.6 * by_student
    assert_frequencies(sentences_of(batch.target, batch.length), probabilities)
    assert 0.6 < on_policy.float().mean() < 1  # 0.6 after one step, more after three


@pytest.mark.parametrize(("rate", "actor"), [(1.0, "oracle"), (0.0, "policy")])
def test_a_step_mixture_with_beta_one_or_zero_is_oracle_or_student(rate, actor, monkeypatch):
    algorithm = table_dagger(mixture="step", rate=rate, labels="action")
    if actor == "oracle":
        monkeypatch.setattr(algorithm.policy, "start", None)  # the student must not be stepped
    batch, on_policy = algorithm.roll_in(as_batch([REFERENCE]), at(0.5))
    assert sentences_of(batch.target, batch.length) == [completed(getattr(algorithm, actor), ())]
    assert (algorithm.oracle.queries > 0) == (actor == "oracle")
    assert on_policy.item() == (actor == "policy")


def test_no_gradient_flows_through_the_roll_in(task):
    """The loss of a rolled-in batch equals that of the same batch as data."""
    student, data = dagger(task, beta="constant", rate=0.0), dagger(task, beta="constant", rate=1.0)
    mixed, _ = student.roll_in(batch_of(task), START)
    results = []
    for algorithm, batch in ((student, batch_of(task)), (data, mixed)):
        loss = first_loss(algorithm, batch).sum
        results.append((loss, *torch.autograd.grad(loss, [*algorithm.policy.parameters()])))
    torch.testing.assert_close(*results)


# --- labels


def test_action_labels_query_the_oracle_only_on_student_rows(task):
    algorithm, batch = dagger(task, labels="action", beta="constant", rate=0.7), batch_of(task)
    mixed, on_policy = algorithm.roll_in(batch, START)
    assert 0 < on_policy.sum() < len(batch)
    before, rows = algorithm.oracle.queries, mixed.rows(on_policy)
    target = relabel(algorithm.oracle, mixed, on_policy)
    assert algorithm.oracle.queries - before == rows.tokens
    assert torch.equal(target[~on_policy], mixed.target[~on_policy])
    assert torch.equal(
        target[on_policy][rows.mask], expert(task).action(rows.source, rows.prefix, rows.mask)
    )


def test_labels_of_a_step_mixture_are_the_oracles_actions():
    algorithm = table_dagger(mixture="step", labels="action", rate=0.5, top_k=0)
    batch, on_policy = algorithm.roll_in(as_batch([REFERENCE] * 50), at(0.5))
    target = relabel(algorithm.oracle, batch, on_policy)
    expected = TableOracle(2).action(batch.source, batch.prefix, batch.mask)
    assert torch.equal(target[batch.mask], expected)


def test_relabel_all_queries_every_row(task):
    batch = batch_of(task)
    for rows, queries in (("all", batch.tokens), ("student", 0)):
        algorithm = dagger(task, labels="action", relabel=rows, beta="constant", rate=1.0)
        assert costs(algorithm, batch)[2] == queries


def test_labels_truncated_to_one_token_equal_action_labels(task):
    truncated = dagger(task, label_top_k=1)
    action = dagger(task, labels="action", relabel="all")
    losses = (first_loss(algorithm, batch_of(task)).sum for algorithm in (truncated, action))
    torch.testing.assert_close(*losses)


def test_the_kl_of_a_student_that_is_the_oracle_is_zero(task):
    policy = small_policy(task)
    oracle = PolicyOracle(policy, None, task.vocabulary, task.vocabulary)
    loss = first_loss(make("imitkd_full", task, policy, oracle), batch_of(task))
    assert abs(loss.metrics["kl"]) < 1e-5


# --- groups


@pytest.mark.parametrize("name", ["imitkd", "imitkd_full"])
def test_a_group_generates_all_roll_ins_before_its_first_update(task, name):
    """Each batch has the same coins and samples as alone."""
    batches = [batch_of(task, step, 200) for step in range(4)]
    algorithm = make(name, task, small_policy(task), beta="linear", group=4)
    assert algorithm.batches_per_round == 4
    expected = [
        first_loss(algorithm, batch, at(0.1).later(number)) for number, batch in enumerate(batches)
    ]
    with Profiler({}, "rest") as profiler:
        updates = algorithm.updates(batches, at(0.1))
        losses, decoded = [next(updates)], profiler.counts["decoded"]
        losses += updates
        assert profiler.counts["decoded"] == decoded > 0
    torch.testing.assert_close([loss.sum for loss in losses], [loss.sum for loss in expected])


@pytest.mark.parametrize(("group", "factor"), [(1, 2), (2, 1)])
def test_an_overridden_loss_is_used_unless_batches_are_grouped(task, group, factor):
    class Doubled(DAgger):
        def loss(self, batch, clock):
            loss = super().loss(batch, clock)
            return Loss(loss.sum * 2, loss.weight, loss.metrics)

    policy, batches = small_policy(task), [batch_of(task, number) for number in range(group)]
    plain, doubled = (
        [loss.sum for loss in kind(policy, expert(task), group=group).updates(batches, START)]
        for kind in (DAgger, Doubled)
    )
    torch.testing.assert_close(doubled, [loss * factor for loss in plain])
