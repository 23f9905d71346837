"""Label smoothing reaches the loss of every algorithm that learns single tokens, and is the same there as in cloning."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from agents.algorithms.bc import BC
from agents.algorithms.dagger import DAgger
from agents.algorithms.dagger_aggregate import DAggerAggregate
from agents.algorithms.scheduled_sampling import ScheduledSampling
from agents.algorithms.seqinter import SeqInter
from agents.discovery import build
from agents.policies.transformer import Transformer
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.oracles.oracle import expert
from textgen_env.tasks.task import Task

ON_DATA = {  # as they are where every prefix is the data's
    "seqinter": SeqInter,
    "dagger": partial(DAgger, labels="action", beta="constant", rate=1.0),
    "scheduled_sampling": partial(ScheduledSampling, epsilon="constant", rate=1.0),
    "dagger_aggregate": partial(DAggerAggregate, beta="constant", rate=1.0),
}


def loss(task: Task, make: Any, smoothing: float) -> float:
    generator = torch.Generator().manual_seed(0)
    size = len(task.vocabulary)
    policy = Transformer(size, layers=1, width=16, heads=2, ffn=16, dropout=0.0)
    settings = {**getattr(make, "keywords", {}), "label_smoothing": smoothing}
    available = {"policy": policy, "oracle": expert(task), "generator": generator}
    algorithm = build(getattr(make, "func", make), settings, **available)
    batch = Batches(task.splits["train"], 400, 0, task).at(0)
    return algorithm.loss(batch, 0.5).loss.item()


@pytest.mark.parametrize("name", ON_DATA)
def test_the_loss_grows_in_proportion_to_the_mass_that_is_spread(task: Task, name: str) -> None:
    none, some, more = (loss(task, ON_DATA[name], smoothing) for smoothing in (0.0, 0.2, 0.4))
    assert abs(some - none) > 1e-3
    assert more - none == pytest.approx(2 * (some - none), rel=1e-3)


@pytest.mark.parametrize("name", ["seqinter", "dagger", "scheduled_sampling"])
def test_on_the_datas_prefixes_it_is_that_of_cloning(task: Task, name: str) -> None:
    assert loss(task, ON_DATA[name], 0.1) == pytest.approx(loss(task, BC, 0.1), rel=1e-5)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
@pytest.mark.parametrize("name", ON_DATA)
def test_it_is_a_share(task: Task, name: str, smoothing: float) -> None:
    with pytest.raises(UserError, match="label_smoothing="):
        loss(task, ON_DATA[name], smoothing)


def test_distributions_as_labels_are_not_smoothed(task: Task) -> None:
    assert loss(task, DAgger, 0.1) == loss(task, DAgger, 0.0)
