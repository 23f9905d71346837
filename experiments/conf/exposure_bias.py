"""The keys of ``experiments/exposure_bias.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from conf import Count, Machine, Seed, Split
from textgen_env.errors import Range


@dataclass(frozen=True)
class Config(Machine):
    """Measure where students diverge from their teacher, and how errors accumulate.

    Args:
        run: finished run folders of one corpus and teacher: run=[RUN1,RUN2]
        split: split of the corpus: train, valid, test
        rows: maximum number of sentences, evenly spaced
        top_k: 1: greedy decoding; k: top-k sampling; 0: sampling
        corrupt_at: recovery: reference tokens before the corruption
        corrupt: recovery: random tokens in the corruption
        resamples: bootstrap resamples for the 95 % bands
        seed: seed of resampling, corruption and sampling
        out: folder of exposure_bias.json and exposure_bias.png
    """

    passes: ClassVar[str] = "env"
    run: tuple[str, ...] = ()
    split: Split = "test"
    rows: Count = 1000
    top_k: Annotated[int, Range(0, 10**6)] = 1
    corrupt_at: Annotated[int, Range(0, 10**6)] = 3
    corrupt: Annotated[int, Range(1, 10**5)] = 2
    resamples: Annotated[int, Range(1, 10**7)] = 1000
    seed: Seed = 0
    out: str = "runs/exposure_bias"
