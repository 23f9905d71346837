"""The keys of ``experiments/t2_bound.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from conf import Count, Seed
from textgen_env.errors import Range

Horizon = Annotated[int, Range(2, 65_536)]


@dataclass(frozen=True)
class Config:
    """Reproduce the T² bound of behavior cloning, exactly and with trained students.

    Args:
        shortest: first horizon; every next one is twice as long
        longest: maximum horizon
        epsilon: probability of an error per step on training states
        demonstrations: expert episodes for the learners that count
        mdps: random MDPs in which every bound is checked
        neural: also train students with bc and dagger in Tightrope-v0
        neural_shortest: first horizon of the students
        neural_longest: maximum horizon of the students; 32 takes twice as long
        neural_epsilon: probability of an error per step in the students' labels
        neural_seeds: students per algorithm and horizon; an interval needs at least 2
        seed: seed of the random MDPs and of the coins of whole batches
        out: folder of t2_bound.json and t2_bound.png
    """

    shortest: Horizon = 8
    longest: Horizon = 1024
    epsilon: Annotated[float, Range(1e-12, 1, "both")] = 0.0001
    demonstrations: Count = 10_000
    mdps: Annotated[int, Range(6, 10**7)] = 6000
    neural: bool = True
    neural_shortest: Horizon = 4
    neural_longest: Horizon = 16
    neural_epsilon: Annotated[float, Range(0, 1, "both")] = 0.01
    neural_seeds: Annotated[int, Range(2, 1000)] = 3
    seed: Seed = 0
    out: str = "runs/t2_bound"
