"""Batches of similar length under a token budget, computed from the step number alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from textgen_env.data.limit import Limit
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.types import Batch, pad

# T is one of these or the horizon, and S a multiple of SOURCE_STEP: few distinct shapes.
WIDTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
SOURCE_STEP = 8
NOISE = 4.0  # tokens added at random to a source length before sorting, so batches vary by epoch


class Batches:
    """Stateless training batches: ``at(step)`` depends only on ``(seed, step)``, for exact resume.

    An epoch has every row with a target once. Rows are bucketed by the smallest width that holds
    the target and half of the source, so that one long source cannot widen a batch of hundreds of
    short targets. A batch has ``tokens // width`` rows, at least one; the last batch of a bucket
    may have fewer. Hence B·T ≤ ``tokens`` wherever B > 1. Text generated for a batch may be longer,
    up to the limit of each source; of prompts without references, the limit is taken for T.

    Args:
        split: Rows to train on.
        tokens: Number of target positions per batch.
        seed: Seed of the order of the rows.
        limit: Length limit of generated text; targets are truncated to its horizon.
    """

    def __init__(self, split: Split, tokens: int, seed: int, limit: Limit) -> None:
        if tokens < 1 or not any(map(len, split.target)):
            raise UserError(
                f"cannot draw a batch of {tokens} tokens from {len(split)} training pairs"
            )
        self.seed = seed
        self._table = _Table(split, limit)
        length = self._table.target_length
        if not split.has_references and length.max() == 1:  # prompts alone: text will be generated
            length = np.where(length, self._table.limit, 0)
        width = np.maximum(length, -(-self._table.source_length // 2))
        bucket = np.searchsorted(self._table.widths, np.minimum(width, limit.horizon))
        bucket[self._table.target_length == 0] = -1
        self._buckets = [
            (np.flatnonzero(bucket == i), max(1, tokens // int(self._table.widths[i])))
            for i in np.unique(bucket[bucket >= 0])
        ]
        self.per_epoch = sum(-(-len(rows) // size) for rows, size in self._buckets)
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])

    def at(self, step: int) -> Batch:
        """Return the batch of training step ``step``, counted from 0."""
        epoch, position = divmod(step, self.per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._shuffled(epoch))
        return self._table.batch(self._epoch[1][position])

    def _shuffled(self, epoch: int) -> list[np.ndarray]:
        """The rows of each batch of an epoch: sorted by noisy source length, then shuffled."""
        generator = np.random.default_rng((self.seed, epoch))
        batches = []
        for rows, size in self._buckets:
            key = self._table.source_length[rows] + generator.uniform(0, NOISE, len(rows))
            rows = rows[np.argsort(key)]
            batches += [rows[start : start + size] for start in range(0, len(rows), size)]
        return [batches[i] for i in generator.permutation(len(batches))]


def sequential_batches(split: Split, tokens: int, limit: Limit) -> Iterator[Batch]:
    """Yield every row once, longest source first, for validation and decoding.

    ``batch.index`` has the row numbers. Before padding, B·max(S, T) ≤ ``tokens`` wherever B > 1.
    """
    table = _Table(split, limit)
    remaining = np.lexsort((table.target_length, table.source_length))[::-1]
    longest = np.maximum(table.source_length, table.target_length)
    while len(remaining):
        size = _batch_size(longest[remaining[:tokens]], tokens)
        yield table.batch(remaining[:size])
        remaining = remaining[size:]


def _batch_size(lengths: np.ndarray, tokens: int) -> int:
    """The largest n ≥ 1 for which n · max(lengths[:n]) ≤ ``tokens``."""
    cost = np.maximum.accumulate(lengths) * np.arange(1, len(lengths) + 1)
    return max(1, int(np.searchsorted(cost, tokens, side="right")))


class _Table:
    """The rows of a split with their lengths and limits; targets end at the horizon."""

    def __init__(self, split: Split, limit: Limit) -> None:
        self.split = split
        self.source_length = _lengths(split.source)
        self.target_length = np.minimum(_lengths(split.target), limit.horizon)
        self.limit = limit(self.source_length)
        self.widths = np.array(
            [*(width for width in WIDTHS if width < limit.horizon), limit.horizon]
        )

    def batch(self, rows: np.ndarray) -> Batch:
        """Pad targets to the next width and sources to the next multiple of ``SOURCE_STEP``."""
        length = self.target_length[rows]
        s = -(-int(self.source_length[rows].max()) // SOURCE_STEP) * SOURCE_STEP
        t = int(self.widths[np.searchsorted(self.widths, length.max())])
        targets = [self.split.target[i][:t] for i in rows]
        return Batch(
            index=torch.from_numpy(rows.astype(np.int64)),
            source=torch.from_numpy(pad([self.split.source[i] for i in rows], s)),
            target=torch.from_numpy(pad(targets, t)),
            length=torch.from_numpy(length),
            limit=torch.from_numpy(self.limit[rows]),
            row=torch.arange(len(rows)),
        )


def _lengths(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.fromiter(map(len, rows), np.int64, count=len(rows))
