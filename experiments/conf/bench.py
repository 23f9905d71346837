"""The keys of ``experiments/bench.py``."""

from __future__ import annotations

from dataclasses import dataclass

from conf import COUNT, CPUS, key
from textgen_env.errors import Range

WIDTH = Range(1, 16_384)


@dataclass
class Config:
    """Measure this project against other libraries."""

    suite: list[str] = key(
        ["all"],
        "train, decode, onpolicy, env, memory, beam; all: every one but memory, which trains for "
        "2,000 steps, and beam, which needs run=",
    )
    sizes: list[str] = key(["2+2", "8+8"], "encoder+decoder layers")
    rounds: int = key(5, "measurements per contender after a warm-up", Range(1, 10**6))
    seconds: float = key(1.0, "minimum duration of a measurement", Range(0, 3600))
    threads: int | None = key(None, "CPU threads; null: one per core", Range(1, CPUS))
    vocabulary: int = key(8000, "tokens of the vocabulary", Range(1, 10**6))
    width: int = key(256, "width of every network", WIDTH)
    tokens: int = key(3000, "target tokens per mini-batch, padding included", Range(1, 10**6))
    batch: int = key(64, "batch size of decoding", Range(2, 10**6))
    steps: int = key(24, "tokens generated per sentence", COUNT)
    episodes: int = key(4096, "suite env: size of the vector environment", Range(1, 10**7))
    run: str | None = key(
        None, "suite beam: finished run with a transformer student, to compare with CTranslate2"
    )
    rows: int = key(500, "suite beam: maximum number of test sentences, evenly spaced", COUNT)
    memory: list[str] = key([], "suite memory: overrides for dagger.py, each of them quoted")
    out: str = key("runs/bench", "folder of bench.json")
