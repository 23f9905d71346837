"""The keys of ``experiments/bench.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from conf import Cores, Count
from textgen_env.errors import Range

Suite = Literal["train", "decode", "onpolicy", "env", "memory", "beam", "all"]


@dataclass(frozen=True)
class Config:
    """Measure this project against other libraries.

    Args:
        suite: train, decode, onpolicy, env, memory, beam; all: every one but memory, which trains
            for 2,000 steps, and beam, which needs run=
        sizes: encoder+decoder layers
        rounds: measurements per contender after a warm-up
        seconds: minimum duration of a measurement
        threads: CPU threads; null: one per core
        vocabulary: tokens of the vocabulary
        width: width of every network
        tokens: target tokens per mini-batch, padding included
        batch: batch size of decoding
        steps: tokens generated per sentence
        episodes: suite env: size of the vector environment
        run: suite beam: finished run with a transformer student, to compare with CTranslate2
        rows: suite beam: maximum number of test sentences, evenly spaced
        memory: suite memory: overrides for dagger.py, each of them quoted
        out: folder of bench.json
    """

    suite: tuple[Suite, ...] = ("all",)
    sizes: tuple[Literal["2+2", "8+8"], ...] = ("2+2", "8+8")
    rounds: Annotated[int, Range(1, 10**6)] = 5
    seconds: Annotated[float, Range(0, 3600)] = 1.0
    threads: Cores | None = None
    vocabulary: Annotated[int, Range(16, 10**6)] = 8000
    width: Annotated[int, Range(4, 16_384)] = 256
    tokens: Annotated[int, Range(1, 10**6)] = 3000
    batch: Annotated[int, Range(2, 10**6)] = 64
    steps: Annotated[int, Range(1, 65_536)] = 24
    episodes: Annotated[int, Range(1, 10**7)] = 4096
    run: str | None = None
    rows: Count = 500
    memory: tuple[str, ...] = ()
    out: str = "runs/bench"
