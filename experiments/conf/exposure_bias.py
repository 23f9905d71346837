"""The keys of ``experiments/exposure_bias.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conf import COUNT, SEED, TASK_KEYS, Machine, key
from textgen_env.errors import Range


@dataclass
class Config(Machine):
    """Measure where students diverge from their teacher, and how errors accumulate."""

    passes: ClassVar[str] = "env"
    run: list[str] = key([], "finished run folders of one corpus and teacher: run=[RUN1,RUN2]")
    split: str = key("test", "split of the corpus: train, valid, test")
    rows: int = key(1000, "maximum number of sentences, evenly spaced", COUNT)
    top_k: int = key(1, "1: greedy decoding; k: top-k sampling; 0: sampling", Range(0, 10**6))
    corrupt_at: int = key(3, "recovery: reference tokens before the corruption", Range(0, 10**6))
    corrupt: int = key(2, "recovery: random tokens in the corruption", Range(1, 10**5))
    resamples: int = key(1000, "bootstrap resamples for the 95 % bands", Range(1, 10**7))
    seed: int = key(0, "seed of resampling, corruption and sampling", SEED)
    out: str = key("runs/exposure_bias", "folder of exposure_bias.json and exposure_bias.png")
    overrides: list[str] = key([], TASK_KEYS)
