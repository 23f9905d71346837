"""The keys of ``experiments/interop.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from conf import Count, Machine, Seed
from textgen_env.errors import Range


@dataclass(frozen=True)
class Teacher:
    """The expert.

    Args:
        path: finished run folder whose student is the expert; null: the task's own expert, exact or
            its references
    """

    path: str | None = None


@dataclass(frozen=True)
class Config(Machine):
    """Train our student in our environment with a trainer of another library.

    Args:
        precision: precision of the evaluation; training is in float32
        preset: preset of env and student: quick, base or paper
        trainer: sb3_ppo, sb3_a2c, sb3_maskable_ppo, imitation_bc, imitation_dagger
        init: finished run folder whose student is trained further; null: fresh weights
        steps: minimum number of environment steps; this and the next: null is the trainer's
        lr: learning rate (Adam); decays to 0 with sb3
        epochs: passes over the collected data; sb3_a2c always makes one
        batch: states per gradient step
        envs: parallel environments
        entropy: weight of sb3's entropy bonus
        gamma: discount; null: 1 if the reward is paid at the end of an episode, else 0
        reward: zero_one, cost, expert_logprob, expert_logprob_mean, bleu, chrf, rouge, accuracy or
            module.function; null: the task's default
        rows: test sentences to score, evenly spaced; null: all
        seed: seed of the weights and of the trainer
        out: folder of results.json and of the student; null: a new one in runs/
    """

    groups: ClassVar[dict[str, str]] = {"env": "Copy-v0", "student": "transformer"}
    precision: str = "float32"
    preset: str = "quick"
    trainer: Literal[
        "sb3_ppo", "sb3_a2c", "sb3_maskable_ppo", "imitation_bc", "imitation_dagger"
    ] = "imitation_dagger"
    init: str | None = None
    steps: Count | None = None
    lr: Annotated[float, Range(0, 100, "least")] | None = None
    epochs: Annotated[int, Range(1, 1000)] | None = None
    batch: Annotated[int, Range(2, 10**6)] | None = None
    envs: Annotated[int, Range(1, 10**5)] | None = None
    entropy: Annotated[float, Range(0, 100)] | None = None
    gamma: Annotated[float, Range(0, 1)] | None = None
    reward: str | None = None
    teacher: Teacher = Teacher()
    rows: Count | None = None
    seed: Seed = 0
    out: str | None = None
