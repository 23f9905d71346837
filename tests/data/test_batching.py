"""Batches: every row once per epoch, the token budget, few shapes, and resume from any step."""

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
Lengths = list[tuple[int, int]]  # of each source and target
lengths = st.lists(st.tuples(st.integers(1, 60), st.integers(1, HORIZON)), min_size=1, max_size=80)


def make_split(lengths: Lengths) -> Split:
    """Rows of the given lengths, ending in EOS; other tokens of row i are 4 + i or 1000 + i."""
    source = [np.append(np.full(s - 1, 4 + i), EOS) for i, (s, _) in enumerate(lengths)]
    target = [np.append(np.full(t - 1, 1000 + i), EOS) for i, (_, t) in enumerate(lengths)]
    return Split(source, target, Pairs(["x"] * len(lengths), [("y",)] * len(lengths)))


def epoch_of(batches: Batches, epoch: int = 0) -> list[Batch]:
    start = epoch * batches.per_epoch
    return [batches.at(step) for step in range(start, start + batches.per_epoch)]


def assert_rows_match(split: Split, batch: Batch, limit: Limit = LIMIT) -> None:
    """Each row of ``batch`` is the padded row of ``split``; its target ends at the horizon."""
    for row, index in enumerate(batch.index.tolist()):
        source, target = split.source[index], split.target[index][: limit.horizon]
        assert batch.length[row] == len(target)
        assert batch.limit[row] == limit(len(source))
        for tokens, padded in ((source, batch.source[row]), (target, batch.target[row])):
            assert padded.tolist() == [*tokens, *[PAD] * (len(padded) - len(tokens))]


@given(lengths, st.integers(1, 400), st.integers(0, 5))
def test_epoch_has_every_row_once_within_the_budget(
    lengths: Lengths, tokens: int, epoch: int
) -> None:
    split = make_split(lengths)
    batches = epoch_of(Batches(split, tokens, seed=1, limit=LIMIT), epoch)
    rows = sorted(index for batch in batches for index in batch.index.tolist())
    assert rows == list(range(len(split)))
    for batch in batches:
        assert_rows_match(split, batch)
        assert len(batch) == 1 or batch.target.numel() <= tokens
        assert batch.target.shape[1] in {*WIDTHS, HORIZON}
        assert batch.target.shape[1] <= HORIZON
        assert batch.source.shape[1] % 8 == 0
        assert batch.source.shape[1] - int((batch.source != PAD).sum(1).max()) < 8


@given(lengths, st.integers(1, 400), st.integers(0, 200))
def test_batch_depends_on_the_step_alone(lengths: Lengths, tokens: int, step: int) -> None:
    split = make_split(lengths)
    uninterrupted = Batches(split, tokens, seed=3, limit=LIMIT)
    for earlier in range(step):
        uninterrupted.at(earlier)
    resumed = Batches(split, tokens, seed=3, limit=LIMIT)
    for field in ("index", "source", "target", "length", "limit", "row"):
        first, second = getattr(uninterrupted.at(step), field), getattr(resumed.at(step), field)
        assert torch.equal(first, second)


@given(lengths, st.integers(1, 400))
def test_sequential_batches_have_every_row_once_longest_source_first(
    lengths: Lengths, tokens: int
) -> None:
    split = make_split(lengths)
    batches = list(sequential_batches(split, tokens, LIMIT))
    rows = [index for batch in batches for index in batch.index.tolist()]
    assert sorted(rows) == list(range(len(split)))
    assert [len(split.source[i]) for i in rows] == sorted((s for s, _ in lengths), reverse=True)
    for batch in batches:
        assert_rows_match(split, batch)
        longest = max(int((batch.source != PAD).sum(1).max()), int(batch.length.max()))
        assert len(batch) == 1 or len(batch) * longest <= tokens


def test_epochs_and_seeds_give_different_batches() -> None:
    split = make_split([(10, 10)] * 64)
    batches = Batches(split, 160, seed=0, limit=LIMIT)
    first, second, other_seed = (
        {frozenset(batch.index.tolist()) for batch in epoch}
        for epoch in (
            epoch_of(batches),
            epoch_of(batches, 1),
            epoch_of(Batches(split, 160, seed=1, limit=LIMIT)),
        )
    )
    assert first != second
    assert first != other_seed


def test_long_source_does_not_widen_a_batch_of_short_targets() -> None:
    split = make_split([(5, 5)] * 350 + [(125, 5)])
    batches = epoch_of(Batches(split, 1600, seed=0, limit=Limit(125)))
    assert max(batch.source.numel() for batch in batches) <= 2 * 1600


def test_epochs_have_few_shapes(task: Task) -> None:
    """So a GPU allocator or compiler sees few shapes however long a run is."""
    batches = Batches(task.splits["train"], 256, seed=0, limit=task.limit)
    steps = map(batches.at, range(5 * batches.per_epoch))
    assert len({(batch.source.shape, batch.target.shape) for batch in steps}) <= 4


def test_rows_of_one_token() -> None:
    batches = Batches(make_split([(1, 1)] * 3), 1, seed=0, limit=Limit(1))
    assert batches.per_epoch == 3
    assert batches.at(0).target.tolist() == [[EOS]]
    assert batches.at(0).source.shape == (1, 8)


def test_target_is_truncated_at_the_horizon() -> None:
    split = make_split([(3, 30), (4, 5)])
    for batch in sequential_batches(split, 100, Limit(12)):
        assert_rows_match(split, batch, Limit(12))
        assert batch.target.shape[1] <= 12
        assert batch.mask.sum() == batch.tokens


def test_empty_batches_are_an_error() -> None:
    with pytest.raises(UserError, match="0 tokens"):
        Batches(make_split([(3, 3)]), 0, seed=0, limit=LIMIT)
    with pytest.raises(UserError, match="0 training pairs"):
        Batches(make_split([]), 10, seed=0, limit=LIMIT)
    assert list(sequential_batches(make_split([]), 10, LIMIT)) == []
