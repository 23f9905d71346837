"""Batches of similar length under a token budget: few shapes, little padding, and any step's batch from its number alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from textgen_env.data.limit import Limit
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.types import PAD, Batch

WIDTHS = (
    8,
    12,
    16,
    24,
    32,
    48,
    64,
    96,
    128,
    192,
    256,
    384,
    512,
)  # T is one of these or the horizon
SOURCE_STEP = 8  # S is a multiple of this
NOISE = 4.0  # tokens by which two sources may differ and still trade places; mixes the batches of each epoch anew


class Batches:
    """Training batches without state: ``at(step)`` depends on ``(seed, step)`` only, so a run resumes anywhere.

    An epoch holds every row once; rows without a target are left out. A row's bucket is the smallest
    width that holds its target and half its source, so that one long source cannot widen a batch of
    hundreds of short targets; a bucket's batches have ``tokens // width`` rows (at least one; its
    last batch may have fewer). Hence B·T ≤ ``tokens`` wherever B > 1; what a policy generates for the
    batch may be longer, up to the limit of each source.

    Args:
        split: rows to train on
        tokens: target positions in a batch
        seed: of the order of the rows
        limit: of what a policy generates for a source; targets end at its horizon
    """

    def __init__(self, split: Split, tokens: int, seed: int, limit: Limit) -> None:
        if tokens < 1 or not any(map(len, split.target)):
            raise UserError(
                f"no batch of {tokens} tokens can be drawn from {len(split)} training pairs"
            )
        self.seed = seed
        self._table = _Table(split, limit)
        need = np.maximum(self._table.target_length, -(-self._table.source_length // 2))
        bucket = np.searchsorted(self._table.widths, np.minimum(need, limit.horizon))
        bucket[self._table.target_length == 0] = -1
        self._buckets = [
            (np.flatnonzero(bucket == i), max(1, tokens // int(self._table.widths[i])))
            for i in np.unique(bucket[bucket >= 0])
        ]
        self.per_epoch = sum(-(-len(rows) // size) for rows, size in self._buckets)
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])

    def at(self, step: int) -> Batch:
        """The batch of training step ``step`` (from 0)."""
        epoch, position = divmod(step, self.per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._order(epoch))
        return self._table.batch(self._epoch[1][position])

    def _order(self, epoch: int) -> list[np.ndarray]:
        """The rows of each batch of an epoch: per bucket, near-equal sources together; then the batches shuffled."""
        generator = np.random.default_rng((self.seed, epoch))
        batches = []
        for rows, size in self._buckets:
            key = self._table.source_length[rows] + generator.uniform(0, NOISE, len(rows))
            rows = rows[np.argsort(key)]
            batches += [rows[start : start + size] for start in range(0, len(rows), size)]
        return [batches[i] for i in generator.permutation(len(batches))]


def sequential_batches(split: Split, tokens: int, limit: Limit) -> Iterator[Batch]:
    """Every row once, longest source first: for validation and decoding.  ``batch.index`` says which row is which.

    A batch has as many rows as keep B·max(S, T), before padding, within ``tokens``; at least one.
    """
    table = _Table(split, limit)
    left = np.lexsort((table.target_length, table.source_length))[::-1]
    longest = np.maximum(table.source_length, table.target_length)
    while len(left):
        size = _fitting(longest[left[:tokens]], tokens)
        yield table.batch(left[:size])
        left = left[size:]


def _fitting(longest: np.ndarray, tokens: int) -> int:
    """How many leading rows keep rows · (their longest) within ``tokens``; at least one."""
    cost = np.maximum.accumulate(longest) * np.arange(1, len(longest) + 1)
    return max(1, int(np.searchsorted(cost, tokens, side="right")))


class _Table:
    """A split as two flat arrays, so that a batch is two gathers.  Targets end at the horizon: no policy need go further."""

    def __init__(self, split: Split, limit: Limit) -> None:
        self.source, self.source_start, self.source_length = _flatten(split.source)
        self.target, self.target_start, length = _flatten(split.target)
        self.target_length = np.minimum(length, limit.horizon)
        self.limit = limit(self.source_length)
        self.widths = np.array(
            [*(width for width in WIDTHS if width < limit.horizon), limit.horizon]
        )

    def batch(self, rows: np.ndarray) -> Batch:
        """Rows padded to the next width (target) and the next multiple of 8 (source)."""
        source_length, length = self.source_length[rows], self.target_length[rows]
        s = -(-int(source_length.max()) // SOURCE_STEP) * SOURCE_STEP
        t = int(self.widths[np.searchsorted(self.widths, length.max())])
        return Batch(
            index=torch.from_numpy(rows.astype(np.int64)),
            source=_padded(self.source, self.source_start[rows], source_length, s),
            target=_padded(self.target, self.target_start[rows], length, t),
            length=torch.from_numpy(length.astype(np.int64)),
            limit=torch.from_numpy(self.limit[rows]),
            row=torch.arange(len(rows)),
        )


def _flatten(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(every token in one array, where each row starts, its length)."""
    length = np.fromiter(map(len, rows), np.int64, count=len(rows))
    flat = np.concatenate(rows) if len(rows) else np.zeros(0, np.int64)
    return flat, np.cumsum(length) - length, length


def _padded(flat: np.ndarray, start: np.ndarray, length: np.ndarray, width: int) -> Tensor:
    """Ragged rows as one tensor, PAD after each row's end.  int64 ``[B, width]``."""
    column = np.arange(width)
    inside = column < length[:, None]  # [B, width]
    where = np.where(inside, start[:, None] + column, 0)  # [B, width]
    return torch.from_numpy(np.where(inside, flat[where], PAD))
