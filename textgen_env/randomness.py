"""Counter-based random numbers, keyed by (seed, step, purpose, row of the global batch).

All coins and samples of a training run are drawn here. They do not depend on how rows are grouped
into batches, on gradient accumulation or on the number of processes, and a resumed run has no
generator state to restore.
"""

from __future__ import annotations

import math
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

INCREMENT = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ / the golden ratio


def uniform(key: tuple[int, ...], purpose: str, row: Tensor, *shape: int) -> Tensor:
    """Draw uniform numbers in [0, 1) by SplitMix64 (Steele, Lea & Flood 2014), a stream per row.

    Args:
        key: The part of the key that all rows share: seed and step.
        purpose: Name of the stream; keeps the coins and the samples of one step independent.
        row: ``[B]``, position of each row in the global batch.
        shape: Shape of the numbers of each row.

    Returns:
        float32 ``[B, *shape]`` on the CPU.
    """
    with np.errstate(over="ignore"):  # arithmetic is modulo 2⁶⁴
        state = _hash(key, purpose)
        stream = _mix(state + (row.numpy().astype(np.uint64) + np.uint64(1)) * INCREMENT)  # [B]
        counter = np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * INCREMENT
        bits = _mix(stream[:, None] + counter)  # [B, prod(shape)]
    numbers = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
    return torch.from_numpy(numbers).view(len(row), *shape)


def derive_seed(key: tuple[int, ...], purpose: str) -> int:
    """Derive a seed for ``torch.manual_seed`` from the same kind of key."""
    with np.errstate(over="ignore"):
        return int(_hash(key, purpose) >> np.uint64(1))


def _hash(key: tuple[int, ...], purpose: str) -> np.ndarray:
    state = np.zeros((), np.uint64)
    for number in (*key, crc32(purpose.encode())):
        state = _mix(state + np.asarray(number).astype(np.uint64) * INCREMENT)
    return state


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's output function."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
