"""Random numbers that depend on a key and a row alone, whatever the batch that the row stands in.

A training draws all its coins and samples here, by (seed, step, purpose, row). So they are the same for any grouping of
rows, any split of a batch and any number of processes, and a resumed run has no generator to restore.
"""

from __future__ import annotations

import math
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

INCREMENT = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ / the golden ratio


def uniform(key: tuple[int, ...], purpose: str, row: Tensor, *shape: int) -> Tensor:
    """Uniform numbers in [0, 1), float32 ``[B, *shape]`` on the CPU.

    They are outputs of SplitMix64 (Steele, Lea & Flood 2014), a counter-based generator, one stream a row.

    Args:
        key: what is common to all rows: seed and step.
        purpose: name of the stream, so that coins and samples of one step are independent.
        row: ``[B]``, each row's place in the global batch.
        shape: of what each row gets.
    """
    with np.errstate(over="ignore"):  # arithmetic is modulo 2⁶⁴
        state = _state(key, purpose)
        stream = _mix(state + (row.numpy().astype(np.uint64) + np.uint64(1)) * INCREMENT)  # [B]
        counter = np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * INCREMENT
        bits = _mix(stream[:, None] + counter)  # [B, numbers]
    numbers = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
    return torch.from_numpy(numbers).view(len(row), *shape)


def derive_seed(key: tuple[int, ...], purpose: str) -> int:
    """A seed for ``torch.manual_seed``, by the same key."""
    with np.errstate(over="ignore"):
        return int(_state(key, purpose) >> np.uint64(1))


def _state(key: tuple[int, ...], purpose: str) -> np.ndarray:
    state = np.zeros((), np.uint64)
    for part in (*key, crc32(purpose.encode())):
        state = _mix(state + np.asarray(part).astype(np.uint64) * INCREMENT)
    return state


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's output function."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
