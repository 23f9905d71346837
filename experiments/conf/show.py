"""The keys of ``experiments/show.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from conf import Beam, Device, Penalty, Split
from textgen_env.errors import Range


@dataclass(frozen=True)
class Config(Device):
    """Step through one sentence, student against teacher.

    Args:
        run: finished run folder
        sentence: row of the split, counted from 0
        split: split of the corpus: train, valid, test
        beam: beam width of the student; 1: greedy
        length_penalty: length penalty of beam search: scores are divided by length ** penalty
    """

    passes: ClassVar[str] = "env"
    run: str | None = None
    sentence: Annotated[int, Range(0, 10**9)] = 0
    split: Split = "test"
    beam: Beam = 1
    length_penalty: Penalty = 1.0
