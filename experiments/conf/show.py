"""The keys of ``experiments/show.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conf import BEAM, PENALTY, TASK_KEYS, Device, key
from textgen_env.errors import Range


@dataclass
class Config(Device):
    """Step through one sentence, student against teacher."""

    passes: ClassVar[str] = "env"
    run: str | None = key(None, "finished run folder")
    sentence: int = key(0, "row of the split, counted from 0", Range(0, 10**9))
    split: str = key("test", "split of the corpus: train, valid, test")
    beam: int = key(1, "beam width of the student; 1: greedy", BEAM)
    length_penalty: float = key(1.0, PENALTY, Range(0, 100))
    overrides: list[str] = key([], TASK_KEYS)
