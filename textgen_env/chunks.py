"""Chunks of a batch, so that no tensor needs the logits of all its positions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

import torch
from torch import Tensor

from textgen_env.types import Batch

# Logits of a chunk. Tensors of up to 32 MiB stay on glibc's heap; a GPU needs more work at once.
MAX_LOGITS, GPU_FACTOR = 1 << 23, 4


def chunks(batch: Batch, vocabulary_size: int) -> Iterator[tuple[Batch, slice]]:
    """Split a batch as ``row_chunks`` does.

    Yields:
        The rows of a chunk, and the slice of the batch's N real positions that these rows hold.
    """
    for rows, positions in row_chunks(batch.length, vocabulary_size, batch.source.device):
        yield batch.rows(torch.arange(rows.start, rows.stop)), positions


def row_chunks(
    count: Tensor, vocabulary_size: int, device: torch.device
) -> Iterator[tuple[slice, slice]]:
    """Split rows into chunks of at most ``MAX_LOGITS`` logits, but of at least one row.

    On a GPU a chunk may be ``GPU_FACTOR`` times as large.

    Args:
        count: ``[B]``, the number of positions of each row.
        vocabulary_size: number of logits of a position.
        device: where the logits are computed.

    Yields:
        The rows of a chunk, and the slice of all positions that these rows hold.
    """
    ends, row, position = list(accumulate(count.tolist())), 0, 0
    limit = MAX_LOGITS * (GPU_FACTOR if device.type == "cuda" else 1) // vocabulary_size
    while row < len(ends):
        last = max(row + 1, bisect_right(ends, position + limit))
        yield slice(row, last), slice(position, ends[last - 1])
        row, position = last, ends[last - 1]
