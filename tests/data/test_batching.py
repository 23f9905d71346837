"""Batches: every row once, the budget, few shapes, and the same batch for the same step however a run got there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from textgen_env.data.batching import WIDTHS, Batches, sequential_batches
from textgen_env.data.corpus import Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.types import EOS, PAD, Batch

HORIZON = 40


LIMIT = Limit(HORIZON, 0.5, 3)
lengths = st.lists(st.tuples(st.integers(1, 60), st.integers(1, HORIZON)), min_size=1, max_size=80)


def split_of(lengths: list[tuple[int, int]]) -> Split:
    """Rows of the given (source, target) lengths, every token telling its row, EOS last."""
    source = [np.append(np.full(s - 1, 4 + i), EOS) for i, (s, _) in enumerate(lengths)]
    target = [np.append(np.full(t - 1, 1000 + i), EOS) for i, (_, t) in enumerate(lengths)]
    return Split(source, target, Pairs(["x"] * len(lengths), [("y",)] * len(lengths)))


def check_rows(split: Split, batch: Batch, horizon: int = HORIZON) -> None:
    """Each row of ``batch`` is its row of ``split``, PAD after; the target ends at the horizon."""
    for row, index in enumerate(batch.index.tolist()):
        source, target = split.source[index], split.target[index][:horizon]
        assert batch.length[row] == len(target)
        assert batch.limit[row] == LIMIT(len(source)) or horizon != HORIZON
        assert batch.source[row].tolist() == [
            *source,
            *[PAD] * (batch.source.shape[1] - len(source)),
        ]
        assert batch.target[row].tolist() == [
            *target,
            *[PAD] * (batch.target.shape[1] - len(target)),
        ]


def equal(a: Batch, b: Batch) -> bool:
    return all(
        torch.equal(getattr(a, name), getattr(b, name))
        for name in ("index", "source", "target", "length", "limit")
    )


@given(lengths, st.integers(1, 400), st.integers(0, 5))
def test_an_epoch_is_every_row_once_within_the_budget(
    lengths: list[tuple[int, int]], tokens: int, epoch: int
) -> None:
    split = split_of(lengths)
    batches = Batches(split, tokens, seed=1, limit=LIMIT)
    epoch_batches = [batches.at(epoch * batches.per_epoch + i) for i in range(batches.per_epoch)]
    assert sorted(i for batch in epoch_batches for i in batch.index.tolist()) == list(
        range(len(split))
    )
    for batch in epoch_batches:
        check_rows(split, batch)
        assert len(batch) == 1 or batch.target.numel() <= tokens
        assert batch.target.shape[1] in {*WIDTHS, HORIZON}
        assert batch.target.shape[1] <= HORIZON
        assert batch.source.shape[1] % 8 == 0
        assert batch.source.shape[1] - int((batch.source != PAD).sum(1).max()) < 8


@given(lengths, st.integers(1, 400), st.integers(0, 200))
def test_a_step_gives_the_same_batch_however_it_is_reached(
    lengths: list[tuple[int, int]], tokens: int, step: int
) -> None:
    split = split_of(lengths)
    straight = Batches(split, tokens, seed=3, limit=LIMIT)
    for before in range(step):
        straight.at(before)
    assert equal(straight.at(step), Batches(split, tokens, seed=3, limit=LIMIT).at(step))


@given(lengths, st.integers(1, 400))
def test_in_order_gives_every_row_once_longest_source_first(
    lengths: list[tuple[int, int]], tokens: int
) -> None:
    split = split_of(lengths)
    batches = list(sequential_batches(split, tokens, LIMIT))
    rows = [i for batch in batches for i in batch.index.tolist()]
    assert sorted(rows) == list(range(len(split)))
    assert [len(split.source[i]) for i in rows] == sorted((s for s, _ in lengths), reverse=True)
    for batch in batches:
        check_rows(split, batch)
        longest = max(int((batch.source != PAD).sum(1).max()), int(batch.length.max()))
        assert len(batch) == 1 or len(batch) * longest <= tokens


def test_epochs_and_seeds_shuffle_differently() -> None:
    split = split_of([(10, 10)] * 64)
    batches = Batches(split, 160, seed=0, limit=LIMIT)
    first = [batches.at(i).index.tolist() for i in range(batches.per_epoch)]
    second = [batches.at(i + batches.per_epoch).index.tolist() for i in range(batches.per_epoch)]
    other = Batches(split, 160, seed=1, limit=LIMIT)
    assert first != second
    assert {frozenset(rows) for rows in first} != {
        frozenset(rows) for rows in second
    }  # the company changes, not only its order
    assert first != [other.at(i).index.tolist() for i in range(other.per_epoch)]


def test_one_long_source_does_not_widen_a_batch_of_short_targets() -> None:
    split = split_of([(5, 5)] * 350 + [(125, 5)])
    batches = Batches(split, 1600, seed=0, limit=Limit(125))
    largest = max(batches.at(i).source.numel() for i in range(batches.per_epoch))
    assert largest <= 2 * 1600


def test_shapes_repeat(task: Task) -> None:
    """Memory stays bounded because a run of any length sees a handful of shapes."""
    batches = Batches(task.splits["train"], 256, seed=0, limit=task.limit)
    shapes = {
        (batch.source.shape, batch.target.shape)
        for batch in map(batches.at, range(5 * batches.per_epoch))
    }
    assert len(shapes) <= 4
    assert (
        len({batches.at(i).target.shape[0] for i in range(batches.per_epoch)}) > 1
    )  # the last batch of a bucket is smaller


def test_rows_of_one_token() -> None:
    batches = Batches(split_of([(1, 1)] * 3), 1, seed=0, limit=Limit(1))
    assert batches.per_epoch == 3
    assert batches.at(0).target.tolist() == [[EOS]]
    assert batches.at(0).source.shape == (1, 8)


def test_a_target_beyond_the_horizon_ends_there() -> None:
    split = split_of([(3, 30), (4, 5)])
    for batch in sequential_batches(split, 100, Limit(12)):
        check_rows(split, batch, horizon=12)
        assert batch.target.shape[1] <= 12
        assert batch.mask.sum() == batch.tokens


def test_nothing_to_draw_from_is_an_error() -> None:
    with pytest.raises(UserError, match="0 tokens"):
        Batches(split_of([(3, 3)]), 0, seed=0, limit=LIMIT)
    with pytest.raises(UserError, match="0 training pairs"):
        Batches(split_of([]), 10, seed=0, limit=LIMIT)
    assert list(sequential_batches(split_of([]), 10, LIMIT)) == []
