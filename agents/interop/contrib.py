"""MaskablePPO of sb3-contrib on our policies (extra: contrib)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

from agents.interop import TrainerSettings
from agents.interop.sb3 import learn, ppo_options, replace_heads
from agents.interop.vec_env import TextVecEnv
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle, Policy


class MaskableTextPolicy(MaskableActorCriticPolicy):
    """``TextPolicy`` for MaskablePPO, which never generates a masked token.

    Logits are float64: sb3-contrib 2.2 checks that probabilities sum to 1 within 1e-6, which
    thousands of float32 values do not.
    """

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        replace_heads(self, lr_schedule, torch.float64)


def maskable_ppo(student: Policy, task: Task, oracle: Oracle, settings: TrainerSettings) -> int:
    """Proximal policy optimization that never generates PAD or BOS."""
    envs = TextVecEnv(task, settings.envs, oracle=oracle, reward=settings.reward)
    algorithm = partial(MaskablePPO, MaskableTextPolicy, envs)
    return learn(algorithm, student, settings, **ppo_options(settings))
