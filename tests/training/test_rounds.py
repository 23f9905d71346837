"""Rounds: how many batches and updates they have, and what an algorithm may yield."""

import re
import signal
from functools import partial

import pytest
import torch

from agents.algorithms import Algorithm, Loss
from agents.algorithms.bc import BC
from agents.training import rounds
from agents.training.signals import Interrupted
from support.training import STEPS, equal_weights, fit, metrics_rows
from textgen_env.errors import UserError


class Rounds(Algorithm):
    """``count`` updates per round on groups of ``group`` batches."""

    def __init__(self, policy, count=1, group=1):
        super().__init__()
        self.policy, self.count, self.batches_per_round = policy, count, group

    def updates(self, batches, clock):
        for number in range(self.count):
            batch = batches[number % len(batches)]
            logits = self.policy(batch.source, batch.prefix, batch.mask)
            yield Loss(logits.logsumexp(-1).sum(), batch.tokens)


class CtrlCInFirstRound(Algorithm):
    def __init__(self, algorithm):
        super().__init__()
        self.algorithm, self.batches_per_round = algorithm, algorithm.batches_per_round

    def updates(self, batches, clock):
        if clock.step == 0:
            signal.raise_signal(signal.SIGINT)
        yield from self.algorithm.updates(batches, clock)


@pytest.mark.parametrize(("count", "group"), [(5, 1), (3, 3), (1, 4), (64, 2)])
def test_rounds_end_with_the_training_and_resume_bitwise(tmp_path, count, group):
    algorithm = partial(Rounds, count=count, group=group)
    straight, state = fit(tmp_path / "straight", algorithm=algorithm)
    assert state.step == STEPS
    assert state.batches == sum(min(group, STEPS - step) for step in range(0, STEPS, count))
    assert metrics_rows(tmp_path / "straight")[-1]["step"] == STEPS
    stopped = tmp_path / "stopped"
    with pytest.raises(Interrupted):
        fit(stopped, algorithm=lambda policy: CtrlCInFirstRound(algorithm(policy)))
    resumed, resumed_state = fit(stopped, algorithm=algorithm, resume=True)
    assert equal_weights(straight, resumed)
    assert resumed_state.batches == state.batches


def test_too_many_updates_in_a_round_are_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "UPDATES_PER_ROUND", 4)
    with pytest.raises(UserError, match=r"Rounds\.updates yields more than 4 losses per round"):
        fit(tmp_path, algorithm=partial(Rounds, count=5))


class Uneven(BC):
    """One update more for parts that contain the first row."""

    def updates(self, batches, clock):
        yield self.loss(batches[0], clock)
        if 0 in batches[0].row:
            yield self.loss(batches[0], clock)


def test_parts_with_different_numbers_of_losses_are_refused(tmp_path):
    message = "Uneven.updates yields more losses for some rows of a batch than for others"
    with pytest.raises(UserError, match=message):
        fit(tmp_path, algorithm=Uneven, accumulate=2)


class FirstRows(BC):
    """Learns from the first two rows of a batch only."""

    def loss(self, batch, clock):
        rows = batch.rows(batch.row < 2)
        return super().loss(rows, clock) if len(rows) else Loss(torch.zeros(()), 0)


def test_a_part_without_anything_to_learn_adds_nothing(tmp_path):
    _, state = fit(tmp_path / "whole", algorithm=FirstRows)
    _, accumulated = fit(tmp_path / "parts", algorithm=FirstRows, accumulate=100)
    assert accumulated.cost.gradient_tokens == state.cost.gradient_tokens
    assert accumulated.batches == state.batches


class Returning(BC):
    """``updates`` returns ``convert(loss)``."""

    def __init__(self, policy, convert):
        super().__init__(policy)
        self.convert = convert

    def updates(self, batches, clock):
        return self.convert(self.loss(batches[0], clock))


INVALID_UPDATES = {
    "empty generator": (lambda loss: iter(()), "updates yields no loss for a batch"),
    "empty list": (lambda loss: [], "updates yields no loss for a batch"),
    "None": (lambda loss: None, "updates returns None; yield losses, or return a list of them"),
    "single loss": (
        lambda loss: loss,
        "updates returns a Loss; yield losses, or return a list of them",
    ),
    "None first": (
        lambda loss: [None, loss],
        "updates yields None; give a scalar tensor or a Loss",
    ),
    "None last": (lambda loss: [loss, None], "updates yields None; give a scalar tensor or a Loss"),
    "two losses of the same weights": (
        lambda loss: [loss, Loss(loss.sum * 2, loss.weight)],
        "updates must yield each loss before it computes the next one",
    ),
}


@pytest.mark.parametrize(
    ("convert", "message"), INVALID_UPDATES.values(), ids=INVALID_UPDATES.keys()
)
def test_invalid_updates_give_a_one_line_error(tmp_path, convert, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        fit(tmp_path, algorithm=partial(Returning, convert=convert))
    assert "\n" not in str(error.value)


def test_updates_may_return_a_list(straight, tmp_path):
    policy, _ = fit(tmp_path, algorithm=partial(Returning, convert=lambda loss: [loss]))
    assert equal_weights(straight[0], policy)


class Uninitialized(Algorithm):
    def __init__(self, policy):
        self.policy = policy


class CriticFirst(Algorithm):
    def __init__(self, policy):
        self.critic = torch.nn.Linear(2, 1)


@pytest.mark.parametrize("algorithm", [Uninitialized, CriticFirst])
def test_missing_super_init_gives_a_one_line_error(tmp_path, algorithm):
    name = algorithm.__name__
    message = rf"^{name}\.__init__ does not call super\(\)\.__init__\(\); call it first$"
    with pytest.raises(UserError, match=message):
        fit(tmp_path, algorithm=algorithm)
