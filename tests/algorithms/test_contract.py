"""What holds for every algorithm: additive losses, keyed randomness and exact resume."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from agents.algorithms import Clock
from agents.losses import sequence
from agents.training.checkpoint import load_tensors, state_tensors
from agents.training.config import TrainConfig
from agents.training.rounds import run_round
from agents.training.saving import Checkpoints
from agents.training.state import TrainerState
from agents.training.trainer import train_policy
from support.distributions import Distributions
from support.learners import ALGORITHMS, batch_of, first_loss, make, small_policy, teacher
from textgen_env.data.batching import Batches
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks import copy

STEPS = 8


@cache
def stateless() -> list[str]:
    """The algorithms whose losses depend only on policy, batch and clock."""
    task = copy.load(symbols=5, max_length=5, horizon=8, train=20, valid=5, test=5)
    return [name for name in ALGORITHMS if not make(name, task, small_policy(task)).state_dict()]


def fresh(name, task, dropout=0.0, **settings):
    """The algorithm with an untrained policy and teacher, always the same ones."""
    exact = "exact" in ALGORITHMS[name].keywords.values()  # needs the task's exact oracle
    oracle = None if exact else teacher(task)
    return make(name, task, small_policy(task, dropout), oracle, **settings)


def oracle_weights(algorithm):
    """The parameters of a teacher; an exact oracle has none."""
    oracle = algorithm.oracle
    return list(oracle.policy.parameters()) if isinstance(oracle, PolicyOracle) else []


@pytest.mark.parametrize("name", stateless())
@pytest.mark.parametrize("count", [2, 3])
def test_losses_of_sub_batches_add_up(task, name, count):
    """Sums, weights and gradients: accumulation and several processes change nothing."""
    batch, algorithm = batch_of(task), fresh(name, task)
    whole = first_loss(algorithm, batch)
    rows = torch.arange(len(batch)).roll(3).chunk(count)
    losses = [first_loss(algorithm, batch.rows(index)) for index in rows]
    assert sum(loss.weight for loss in losses) == whole.weight
    total = sum(loss.sum for loss in losses)
    torch.testing.assert_close(total, whole.sum, rtol=1e-4, atol=1e-4)
    parameters = [*algorithm.policy.parameters()]
    gradients = (
        torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        for loss in (total, whole.sum)
    )
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def gradients(task, accumulate, name, settings):
    """The gradient of every update of three rounds, and the numbers of updates and of queries.

    Plain gradient steps follow the gradients.
    """
    algorithm, state = fresh(name, task, **settings), TrainerState()
    policy = algorithm.policy
    weights = [*policy.parameters(), *algorithm.parameters()]
    batches = Batches(task.splits["train"], 100, 0, task.limit)
    config = TrainConfig(steps=12, accumulate=accumulate)
    updates = []
    for _number in range(3):
        for _loss in run_round(algorithm, weights, batches, state, config):
            updates.append([torch.zeros(1) if w.grad is None else w.grad.clone() for w in weights])
            with torch.no_grad():
                for weight, gradient in zip(weights, updates[-1], strict=True):
                    weight -= 0.05 * gradient
                    weight.grad = None
            algorithm.updated()
            state.step += 1
    return updates, (state.step, algorithm.oracle.queries)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in ALGORITHMS),
        ("imitkd", {"group": 3}),
        ("dagger_aggregate", {"every": 3}),
        ("reinforce", {"baseline": "running", "samples": 2}),
    ],
)
def test_an_accumulated_gradient_is_that_of_the_whole_batch(task, name, settings):
    """At every update: of a group of batches, of the same episodes, of samples of a dataset."""
    whole, (steps, _) = gradients(task, 1, name, settings)
    parts, (steps_of_parts, _) = gradients(task, 3, name, settings)
    assert steps == steps_of_parts >= 3
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)


def whole_sum(loss, features, chunks, weights):
    """What ``chunked_sum`` computes, by plain autograd."""
    return sum(loss(features[positions], rows, positions) for rows, positions in chunks)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_chunks_change_neither_gradients_nor_queries(task, name, monkeypatch):
    """Of one position, of three, or all; but of at least one row."""
    with monkeypatch.context() as patch:
        patch.setattr(sequence, "chunked_sum", whole_sum)
        whole, counts = gradients(task, 1, name, {})
    for positions in (1, 3, 10**6):
        max_logits = positions * len(task.vocabulary)
        monkeypatch.setattr("textgen_env.chunks.MAX_LOGITS", max_logits)
        chunked, counts_of_chunks = gradients(task, 1, name, {})
        assert counts_of_chunks == counts
        torch.testing.assert_close(chunked, whole, rtol=1e-5, atol=1e-5)


# Their losses need the distributions [B, V] of one step of each row.
ONE_STEP = {"lols", "aggrevated"}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_no_distributions_of_a_whole_batch_exist(name, monkeypatch):
    # Nothing but a distribution has 18 columns.
    task = copy.load(symbols=14, max_length=5, horizon=8, train=100, valid=5, test=5)
    monkeypatch.setattr("textgen_env.chunks.MAX_LOGITS", 1)  # every row is a chunk
    algorithm, batch = fresh(name, task), batch_of(task)
    watched = Distributions(algorithm.policy)
    watched.watch(algorithm.policy, monkeypatch, first=True)
    if isinstance(algorithm.oracle, PolicyOracle):
        watched.watch(algorithm.oracle.policy, monkeypatch)
    with watched:
        loss = first_loss(algorithm, batch, Clock(0, 9, 10))  # most rows are the student's
        if name not in ONE_STEP:
            assert not watched.alive
        loss.sum.backward()
    most = len(batch) if name in ONE_STEP else task.horizon
    assert 0 < max(watched.rows) <= most < batch.tokens


@pytest.mark.parametrize("name", ALGORITHMS)
def test_random_numbers_come_only_from_the_clock(task, name):
    losses = []
    for seed in (1, 2):
        algorithm = fresh(name, task)
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        losses.append(first_loss(algorithm, batch_of(task)).sum)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*losses)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_losses_and_metrics_are_finite_and_metrics_have_no_gradient(task, name):
    loss = first_loss(fresh(name, task, dropout=0.1), batch_of(task))
    assert loss.weight > 0
    assert loss.tokens is None or loss.tokens >= 0
    assert loss.sum.isfinite()
    for key, metric in loss.metrics.items():
        assert isinstance(key, str)
        assert math.isfinite(metric)
        assert not (isinstance(metric, torch.Tensor) and metric.requires_grad)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_training_mode_is_restored_and_the_teacher_unchanged(task, name):
    algorithm = fresh(name, task)
    before = [weight.clone() for weight in oracle_weights(algorithm)]
    first_loss(algorithm, batch_of(task)).sum.backward()
    assert all(module.training for module in algorithm.policy.modules())
    assert all(map(torch.equal, before, oracle_weights(algorithm)))
    assert all(weight.grad is None for weight in oracle_weights(algorithm))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_weights_of_policies_and_teachers_are_not_in_the_algorithms_state(task, name):
    algorithm = fresh(name, task)
    weights = [*algorithm.policy.parameters(), *oracle_weights(algorithm)]
    state = state_tensors(algorithm)
    registered = {tensor.data_ptr() for tensor in (*algorithm.parameters(), *state.values())}
    assert not registered & {weight.data_ptr() for weight in weights}
    policy_keys = tuple(key for key, _ in algorithm.policy.named_parameters())
    assert not [key for key in state if key.endswith(policy_keys)]  # no frozen copies either
    algorithm.eval()
    assert algorithm.policy.training


class KilledError(Exception):
    """Stands for the end of the process."""


def fit(task, folder, name, die_at=None, resume=False):
    """Train and return the last checkpoint; validation number ``die_at`` raises KilledError."""
    algorithm, calls = fresh(name, task, dropout=0.2), itertools.count(1)

    def validate():
        if next(calls) == die_at:
            raise KilledError
        return {"valid_score": 0.0}

    config = TrainConfig(STEPS, lr=0.01, warmup=2, validations=3, resume=resume)
    batches = Batches(task.splits["train"], 100, 0, task.limit)
    checkpoints = Checkpoints(folder, "student", {})
    train_policy(algorithm, algorithm.policy, batches, validate, config, checkpoints)
    return load_tensors(checkpoints.last)[0]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_killed_and_resumed_training_ends_with_the_same_bits(task, name, tmp_path):
    uninterrupted = fit(task, tmp_path / "uninterrupted", name)
    with pytest.raises(KilledError):
        fit(task, tmp_path / "killed", name, die_at=2)
    resumed = fit(task, tmp_path / "killed", name, resume=True)
    assert uninterrupted.keys() == resumed.keys()
    assert all(torch.equal(uninterrupted[key], resumed[key]) for key in uninterrupted)


ROLLED_IN = {  # settings of algorithms that use targets by default, with which they do not
    "gkd": {"student_fraction": 1.0},
    "distillm": {"student_fraction": 1.0},
    **{name: {"beta": "constant", "rate": 0.0} for name in ("imitkd", "imitkd_full", "dagger")},
}


def test_what_uses_no_targets_is_not_changed_by_them(task):
    """So prompts without an answer are enough."""
    batch = batch_of(task)
    other = replace(batch, target=torch.where(batch.mask, 6 - batch.target % 3, batch.target))
    assert not torch.equal(batch.target, other.target)
    checked = []
    for name in ALGORITHMS:
        algorithm = fresh(name, task, **ROLLED_IN.get(name, {}))
        if not algorithm.uses_targets:
            losses = [first_loss(algorithm, rows) for rows in (batch, other)]
            assert losses[0].weight == losses[1].weight, name
            torch.testing.assert_close(losses[0].sum, losses[1].sum)
            checked.append(name)
    assert {*ROLLED_IN, "opd", "skd", "grpo", "minillm"} <= {*checked}
    assert not {"bc", "seqkd", "word_kd", "mixer", "scheduled_sampling"} & {*checked}
