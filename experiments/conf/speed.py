"""The keys of ``experiments/speed.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conf import BEAM, COUNT, CPUS, PENALTY, TASK_KEYS, Device, key
from textgen_env.errors import Range


@dataclass
class Config(Device):
    """Measure how much faster than its teacher a student decodes."""

    passes: ClassVar[str] = "env"
    run: str | None = key(None, "finished run folder")
    batch_sizes: list[int] = key([1, 8, 32, 128], "batch sizes", Range(1, 10**5))
    beams: list[int] = key([1, 5], "beam widths; 1: greedy", BEAM)
    length_penalty: float = key(1.0, PENALTY, Range(0, 100))
    threads: list[int] = key([1, 2], "numbers of CPU threads", Range(1, CPUS))
    rows: int = key(128, "maximum number of test sentences, evenly spaced", COUNT)
    rounds: int = key(3, "measurements after a warm-up; the median counts", Range(1, 10**6))
    overrides: list[str] = key([], TASK_KEYS)
