"""The keys of ``experiments/t2_bound.py``."""

from __future__ import annotations

from dataclasses import dataclass

from conf import COUNT, SEED, key
from textgen_env.errors import Range

HORIZON = Range(2, 65_536)


@dataclass
class Config:
    """Reproduce the T² bound of behavior cloning, exactly and with trained students."""

    shortest: int = key(8, "first horizon; every next one is twice as long", HORIZON)
    longest: int = key(1024, "maximum horizon", HORIZON)
    epsilon: float = key(
        0.0001, "probability of an error per step on training states", Range(0, 1, "both")
    )
    demonstrations: int = key(10_000, "expert episodes for the learners that count", COUNT)
    mdps: int = key(6000, "random MDPs in which every bound is checked", Range(1, 10**7))
    neural: bool = key(True, "also train students with bc and dagger in Tightrope-v0")
    neural_shortest: int = key(4, "first horizon of the students", HORIZON)
    neural_longest: int = key(
        16, "maximum horizon of the students; 32 takes twice as long", HORIZON
    )
    neural_epsilon: float = key(
        0.01, "probability of an error per step in the students' labels", Range(0, 1, "both")
    )
    neural_seeds: int = key(
        3, "students per algorithm and horizon; an interval needs at least 2", Range(1, 1000)
    )
    seed: int = key(0, "seed of the random MDPs and of the coins of whole batches", SEED)
    out: str = key("runs/t2_bound", "folder of t2_bound.json and t2_bound.png")
