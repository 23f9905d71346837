"""Label smoothing reaches the loss of every algorithm that learns single tokens, and is the same there as in cloning."""

from __future__ import annotations

from typing import Any

import pytest

from support.learners import START, batch_of, first_loss, make, small_policy
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task

ON_DATA: dict[str, dict[str, Any]] = {  # as they are where every prefix is the data's
    "seqinter": {},
    "dagger": {"beta": "constant", "rate": 1.0},
    "scheduled_sampling": {"epsilon": "constant", "rate": 1.0},
    "dagger_aggregate": {"beta": "constant", "rate": 1.0},
}


def loss(task: Task, name: str, smoothing: float) -> float:
    algorithm = make(
        name, task, small_policy(task), label_smoothing=smoothing, **ON_DATA.get(name, {})
    )
    return first_loss(algorithm, batch_of(task), START.later(5)).mean.item()


@pytest.mark.parametrize("name", ON_DATA)
def test_the_loss_grows_in_proportion_to_the_mass_that_is_spread(task: Task, name: str) -> None:
    none, some, more = (loss(task, name, smoothing) for smoothing in (0.0, 0.2, 0.4))
    assert abs(some - none) > 1e-3
    assert more - none == pytest.approx(2 * (some - none), rel=1e-3)


@pytest.mark.parametrize("name", ["seqinter", "dagger", "scheduled_sampling"])
def test_on_the_datas_prefixes_it_is_that_of_cloning(task: Task, name: str) -> None:
    assert loss(task, name, 0.1) == pytest.approx(loss(task, "bc", 0.1), rel=1e-5)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
@pytest.mark.parametrize("name", ON_DATA)
def test_it_is_a_share(task: Task, name: str, smoothing: float) -> None:
    with pytest.raises(UserError, match="label_smoothing="):
        loss(task, name, smoothing)


def test_distributions_as_labels_are_not_smoothed(task: Task) -> None:
    assert loss(task, "imitkd_full", 0.1) == loss(task, "imitkd_full", 0.0)
