"""The keys of ``experiments/speed.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from conf import BatchSize, Beam, Cores, Count, Device, Penalty
from textgen_env.errors import Range


@dataclass(frozen=True)
class Config(Device):
    """Measure how much faster than its teacher a student decodes.

    Args:
        run: finished run folder
        batch_sizes: batch sizes
        beams: beam widths; 1: greedy
        length_penalty: length penalty of beam search: scores are divided by length ** penalty
        threads: numbers of CPU threads
        rows: maximum number of test sentences, evenly spaced
        rounds: measurements; the median counts
    """

    passes: ClassVar[str] = "env"
    run: str | None = None
    batch_sizes: tuple[BatchSize, ...] = (1, 8, 32, 128)
    beams: tuple[Beam, ...] = (1, 5)
    length_penalty: Penalty = 1.0
    threads: tuple[Cores, ...] = (1, 2)
    rows: Count = 128
    rounds: Annotated[int, Range(1, 10**6)] = 3
