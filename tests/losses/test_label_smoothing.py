"""Label smoothing reaches every algorithm that learns single tokens."""

from __future__ import annotations

from typing import Any

import pytest

from support.learners import START, batch_of, first_loss, make, small_policy
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task

ON_DATA: dict[str, dict[str, Any]] = {  # settings with which all prefixes are the data's
    "seqinter": {},
    "dagger": {"beta": "constant", "rate": 1.0},
    "scheduled_sampling": {"epsilon": "constant", "rate": 1.0},
    "dagger_aggregate": {"beta": "constant", "rate": 1.0},
}


def loss(task: Task, name: str, smoothing: float) -> float:
    settings = {"label_smoothing": smoothing, **ON_DATA.get(name, {})}
    algorithm = make(name, task, small_policy(task), **settings)
    return first_loss(algorithm, batch_of(task), START.later(5)).mean.item()


@pytest.mark.parametrize("name", ON_DATA)
def test_the_loss_is_linear_in_the_smoothing(task: Task, name: str) -> None:
    losses = [loss(task, name, smoothing) for smoothing in (0.0, 0.2, 0.4)]
    assert abs(losses[1] - losses[0]) > 1e-3
    assert losses[2] - losses[0] == pytest.approx(2 * (losses[1] - losses[0]), rel=1e-3)


@pytest.mark.parametrize("name", ["seqinter", "dagger", "scheduled_sampling"])
def test_on_data_prefixes_the_loss_is_that_of_behavioral_cloning(task: Task, name: str) -> None:
    assert loss(task, name, 0.1) == pytest.approx(loss(task, "bc", 0.1), rel=1e-5)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
@pytest.mark.parametrize("name", ON_DATA)
def test_smoothing_must_be_in_the_unit_interval(task: Task, name: str, smoothing: float) -> None:
    with pytest.raises(UserError, match="label_smoothing="):
        loss(task, name, smoothing)


def test_distribution_labels_are_not_smoothed(task: Task) -> None:
    assert loss(task, "imitkd_full", 0.1) == loss(task, "imitkd_full", 0.0)
