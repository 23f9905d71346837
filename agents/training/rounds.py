"""One round of an algorithm: its losses on the next batches, and their gradients."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from agents.algorithms.base import (
    UPDATES_PER_ROUND,
    Algorithm,
    Clock,
    Loss,
    as_loss,
    check_weight,
    iterate_updates,
    loss_origin,
)
from agents.precision import precision
from agents.training.config import TrainConfig
from agents.training.state import TrainerState
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.profiler import count, phase
from textgen_env.randomness import derive_seed
from textgen_env.types import Batch

END = object()  # marks the end of an algorithm's losses
Group = list[Batch]  # the batches of a round, or the same part of each of them


def run_round(
    algorithm: Algorithm,
    weights: Sequence[nn.Parameter],
    batches: Batches,
    state: TrainerState,
    config: TrainConfig,
) -> Iterator[Loss]:
    """Compute the gradients of one round, update by update, up to the end of the training.

    ``config.accumulate`` splits each batch into parts of its rows, to save memory. The algorithm's
    ``updates`` run once per part, side by side: the k-th losses of all parts are added up and make
    the k-th update. The sum is divided once, by the weight of all parts, and random numbers are
    keyed by the row in the whole batch, so the gradient is that of the whole batch.

    Dropout masks do depend on the parts. They come from torch's global generator, which is seeded
    at the start of each round, so that no generator state has to be saved.

    Args:
        algorithm: turns batches into losses.
        weights: get the gradients.
        batches: training data.
        state: counts the batches used.
        config: how to train.

    Yields:
        The loss of each update, for one optimizer step.
    """
    clock, steps_left = Clock(config.seed, state.step, config.steps), config.steps - state.step
    size = min(algorithm.batches_per_round, steps_left)
    with phase("data"):
        group = [batches.at(state.batches + number).to(config.device) for number in range(size)]
    state.batches += size
    torch.manual_seed(derive_seed((config.seed, state.step), "dropout"))
    parts = split_rows(group, config.accumulate)
    with computing(algorithm, config):
        running = [iterate_updates(algorithm, part, clock) for part in parts]
    for number in range(steps_left):
        update = backward(next_losses(algorithm, parts, running, config), weights)
        if update is None and number:
            return
        if update is None:
            origin = loss_origin(algorithm)
            raise UserError(f"{origin} no loss for a batch; a round needs at least one")
        if number == UPDATES_PER_ROUND:
            raise UserError(
                f"{type(algorithm).__name__}.updates yields more than "
                f"{UPDATES_PER_ROUND} losses per round"
            )
        check_weight(algorithm, update.weight)
        yield update


def split_rows(group: Group, count: int) -> list[Group]:
    """Split each batch into ``count`` parts of its rows, fewer if a batch has fewer rows."""
    count = min(count, *map(len, group))
    if count == 1:
        return [group]
    rows = [torch.arange(len(batch)).tensor_split(count) for batch in group]
    return [
        [batch.rows(which[part]) for batch, which in zip(group, rows, strict=True)]
        for part in range(count)
    ]


@contextmanager
def computing(algorithm: Algorithm, config: TrainConfig) -> Iterator[None]:
    """Set the precision, and count the oracle's queries."""
    oracle = algorithm.oracle
    before = oracle.queries if oracle else 0
    with precision(config.precision, config.device):
        yield
    count("scored", oracle.queries - before if oracle else 0)


def next_losses(
    algorithm: Algorithm, parts: list[Group], running: list[Iterator[Any]], config: TrainConfig
) -> Iterator[Loss]:
    """The next loss of each part; none at the end of the round."""
    ended = 0
    for part, updates in zip(parts, running, strict=True):
        with computing(algorithm, config):
            output = next(updates, END)
        if output is END:
            ended += 1
            continue
        tokens = sum(batch.tokens for batch in part) // len(part)
        loss = as_loss(algorithm, output, tokens, partial=len(parts) > 1)
        count("learned", loss.weight if loss.tokens is None else loss.tokens)
        yield loss
    if 0 < ended < len(parts):
        raise UserError(
            f"{type(algorithm).__name__}.updates yields more losses for some rows of a batch than "
            "for others; with train.accumulate each part needs the same number"
        )


def backward(losses: Iterable[Loss], weights: Sequence[nn.Parameter]) -> Loss | None:
    """Add up the gradients of ``losses``, and divide them once by the weight of all.

    Args:
        losses: the graph of one is freed before the next is computed. A weight may be 0.
        weights: get the gradients.

    Returns:
        The sum of the losses, without a graph; None if there are none.
    """
    total: Loss | None = None
    scale = 1  # of the gradients: the first weight, so that a single loss needs no other division
    for loss in losses:
        if loss.weight:
            scale = loss.weight if total is None or not total.weight else scale
            _backward(loss.sum / scale)
        loss.sum = loss.sum.detach()
        total = loss if total is None else total + loss
    if total and total.weight not in (0, scale):
        for weight in weights:
            if weight.grad is not None:
                weight.grad *= scale / total.weight
    return total


def _backward(loss: Tensor) -> None:
    try:
        loss.backward()
    except RuntimeError as error:
        if not re.search("inplace operation|graph a second time", str(error)):
            raise
        raise UserError(
            "a loss depends on weights or a graph that the previous step has changed: "
            "updates must yield each loss before it computes the next one"
        ) from error
