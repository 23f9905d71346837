"""What every algorithm that can be named keeps: additive losses, keyed randomness, resume to the bit, nothing held twice."""

from __future__ import annotations

import itertools
import math
from functools import cache

import pytest
import torch

from agents.training.checkpoint import load_tensors, state_tensors
from agents.training.saving import Checkpoints
from agents.training.trainer import TrainConfig, train
from support.learners import ALGORITHMS, batch_of, first_loss, make, small_policy, teacher
from textgen_env.data.batching import Batches
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks import copy

STEPS = 8


@cache
def stateless() -> list[str]:
    """The algorithms whose losses depend on nothing but the policy, the batch and the clock."""
    task = copy.load(symbols=5, max_length=5, horizon=8, train=20, valid=5, test=5)
    return [name for name in ALGORITHMS if not make(name, task, small_policy(task)).state_dict()]


def fresh(name, task, **settings):
    """The algorithm with a policy and an oracle that are always the same."""
    exact = "exact" in ALGORITHMS[name].keywords.values()  # it needs the task's own expert
    return make(name, task, small_policy(task, **settings), None if exact else teacher(task))


def weights(oracle):
    """What a teacher's policy has learned; nothing of an exact expert."""
    return list(oracle.policy.parameters()) if isinstance(oracle, PolicyOracle) else []


@pytest.mark.parametrize("name", stateless())
@pytest.mark.parametrize("parts", [2, 3])
def test_the_parts_of_a_batch_add_up_to_the_batch(task, name, parts):
    """Loss sums, weights and gradients: so that accumulation and several processes change nothing."""
    batch, algorithm = batch_of(task), fresh(name, task)
    whole = first_loss(algorithm, batch)
    places = torch.arange(len(batch)).roll(3).chunk(parts)
    losses = [first_loss(algorithm, batch.rows(place)) for place in places]
    assert sum(loss.weight for loss in losses) == whole.weight
    total = sum(loss.sum for loss in losses)
    torch.testing.assert_close(total, whole.sum, rtol=1e-4, atol=1e-4)
    parameters = [*algorithm.policy.parameters()]
    sides = (
        torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        for loss in (total, whole.sum)
    )
    torch.testing.assert_close(*sides, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_its_random_numbers_are_those_of_the_clock_alone(task, name):
    losses = []
    for seed in (1, 2):
        algorithm = fresh(name, task)
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        losses.append(first_loss(algorithm, batch_of(task)).sum)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*losses)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_its_loss_can_be_trained_on_and_its_metrics_logged(task, name):
    loss = first_loss(fresh(name, task, dropout=0.1), batch_of(task))
    assert loss.weight > 0
    assert loss.tokens is None or loss.tokens >= 0
    assert loss.sum.isfinite()
    assert all(
        isinstance(key, str) and math.isfinite(metric) for key, metric in loss.metrics.items()
    )
    assert not any(
        metric.requires_grad for metric in loss.metrics.values() if isinstance(metric, torch.Tensor)
    )


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_leaves_the_policys_mode_and_the_teacher_alone(task, name):
    algorithm = fresh(name, task)
    before = [weight.clone() for weight in weights(algorithm.oracle)]
    first_loss(algorithm, batch_of(task)).sum.backward()
    assert all(module.training for module in algorithm.policy.modules())
    assert all(map(torch.equal, before, weights(algorithm.oracle)))
    assert all(weight.grad is None for weight in weights(algorithm.oracle))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_policy_and_teacher_are_held_and_not_its_own(task, name):
    algorithm = fresh(name, task)
    held = {
        tensor.data_ptr() for tensor in (*algorithm.policy.parameters(), *weights(algorithm.oracle))
    }
    own = [*algorithm.parameters(), *state_tensors(algorithm).values()]
    assert not held & {tensor.data_ptr() for tensor in own}
    names = {name for name, _ in algorithm.policy.named_parameters()}
    assert not [
        key for key in state_tensors(algorithm) if any(key.endswith(name) for name in names)
    ]  # a frozen copy
    algorithm.eval()
    assert algorithm.policy.training


class Killed(Exception):
    pass


def fit(task, folder, name, die_at=None, resume=False):
    """All that the last checkpoint holds; the training is killed at the ``die_at``-th validation."""
    algorithm, calls = fresh(name, task, dropout=0.2), itertools.count(1)

    def validate():
        if next(calls) == die_at:
            raise Killed
        return {"valid_score": 0.0}

    config = TrainConfig(STEPS, lr=0.01, warmup=2, validations=3, resume=resume)
    batches, files = (
        Batches(task.splits["train"], 100, 0, task.limit),
        Checkpoints(folder, "student", {}),
    )
    train(algorithm, algorithm.policy, batches, validate, config, files)
    return load_tensors(files.last)[0]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_killed_and_resumed_it_ends_in_the_same_bits(task, name, tmp_path):
    straight = fit(task, tmp_path / "straight", name)
    with pytest.raises(Killed):
        fit(task, tmp_path / "killed", name, die_at=2)
    resumed = fit(task, tmp_path / "killed", name, resume=True)
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
