"""The keys of ``experiments/interop.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from conf import COUNT, SEED, Machine, key
from textgen_env.errors import Range


@dataclass
class Teacher:
    """The expert."""

    path: str | None = key(
        None,
        "finished run folder whose student is the expert; null: the task's own expert, exact or "
        "its references",
    )


@dataclass
class Config(Machine):
    """Train our student in our environment with a trainer of another library."""

    groups: ClassVar[dict[str, str]] = {"env": "Copy-v0", "student": "transformer"}
    preset: str = key("quick", "preset of env and student: quick, base or paper")
    trainer: str = key(
        "imitation_dagger", "sb3_ppo, sb3_a2c, sb3_maskable_ppo, imitation_bc, imitation_dagger"
    )
    init: str | None = key(
        None, "finished run folder whose student is trained further; null: fresh weights"
    )
    steps: int | None = key(
        None, "minimum number of environment steps; this and the next: null is the trainer's", COUNT
    )
    lr: float | None = key(
        None, "learning rate (Adam); decays to 0 with sb3", Range(0, 100, "least")
    )
    epochs: int | None = key(
        None, "passes over the collected data; sb3_a2c always makes one", Range(1, 1000)
    )
    batch: int | None = key(None, "states per gradient step", Range(2, 10**6))
    envs: int | None = key(None, "parallel environments", Range(1, 10**5))
    entropy: float | None = key(None, "weight of sb3's entropy bonus", Range(0, 100))
    gamma: float | None = key(
        None,
        "discount; null: 1 if the reward is paid at the end of an episode, else 0",
        Range(0, 1),
    )
    reward: str | None = key(
        None,
        "zero_one, cost, expert_logprob, expert_logprob_mean, bleu, chrf, rouge, accuracy or "
        "module.function; null: the task's default",
    )
    teacher: Teacher = field(default_factory=Teacher)
    rows: int | None = key(None, "test sentences to score, evenly spaced; null: all", COUNT)
    seed: int = key(0, "seed of the weights and of the trainer", SEED)
    precision: str = key("float32", "precision of the evaluation; training is in float32")
    out: str | None = key(
        None, "folder of results.json and of the student; null: a new one in runs/"
    )
