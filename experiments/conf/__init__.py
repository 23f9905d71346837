"""The keys of each command: the fields of a dataclass, with types, ranges and ``Args:`` lines.

``cli/schema.py`` reads them in the same way as the keys of tasks, policies and algorithms.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from textgen_env.errors import Range

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MAY_BE_EMPTY = "may be empty"  # marks a list
Seed = Annotated[int, Range(0, 2**32 - 1)]
Count = Annotated[int, Range(1, 10**9)]
Cores = Annotated[int, Range(1, CPUS)]
Beam = Annotated[int, Range(1, 1000)]
BatchSize = Annotated[int, Range(1, 10**5)]
Penalty = Annotated[float, Range(0, 100)]
Split = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Device:
    """Where models run.

    Args:
        device: cpu, cuda, cuda:1 …; auto: a GPU if there is one
        precision: float32 or bf16; auto: bf16 where the hardware is faster with it
        imports: dotted paths of classes and functions that a run folder names: it imports no code
            itself
    """

    device: str = "auto"
    precision: str = "auto"
    imports: Annotated[tuple[str, ...], MAY_BE_EMPTY] = ()


@dataclass(frozen=True)
class Machine(Device):
    """Where models run, and on how many cores.

    Args:
        threads: CPU threads; null: one per core
        workers: processes that share a large decoding job; null: one per thread; 1: no split
    """

    threads: Cores | None = None
    workers: Cores | None = None
