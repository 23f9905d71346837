"""The keys of each command: a dataclass with the default, meaning and range of every key.

The keys of the groups ``env``, ``teacher``, ``student`` and ``algorithm`` come from signatures; see
``schema.py``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from textgen_env.errors import Range

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SEED = Range(0, 2**32 - 1)
COUNT = Range(1, 10**9)
BEAM = Range(1, 1000)
TASK_KEYS = (
    "keys of the run's task, filled in from the command line: env.data_dir=FOLDER if its corpus "
    "was moved, and env=module.Task, repeated, if the task is not part of this project"
)
PENALTY = "length penalty of beam search: scores are divided by length ** penalty"


def key(
    default: Any,
    meaning: str,
    allowed: Range | None = None,
    empty: bool = False,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with what the command line needs to know about a key.

    Args:
        default: value; a list is copied.
        meaning: one line for ``--help``.
        allowed: range of the number, or of every number in the list.
        empty: whether an empty string is a value.
        choices: all values, as they are written.
    """
    metadata = {"meaning": meaning, "range": allowed, "empty": empty, "choices": choices}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class Device:
    """Where models run."""

    device: str = key("auto", "cpu, cuda, cuda:1 …; auto: a GPU if there is one")
    precision: str = key("auto", "float32 or bf16; auto: bf16 where the hardware is faster with it")


@dataclass
class Machine(Device):
    """Where models run, and on how many cores."""

    threads: int | None = key(None, "CPU threads; null: one per core", Range(1, CPUS))
    workers: int | None = key(
        None,
        "processes that share a large decoding job; null: one per thread; 1: no split",
        Range(1, CPUS),
    )
