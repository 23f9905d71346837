"""MaskablePPO of sb3-contrib on our policies (extra: contrib)."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

from agents.interop import TrainerSettings
from agents.interop.sb3 import dummy_vec_env, learn, ppo_options, replace_heads
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


class ActionMasks(gym.Wrapper):
    """Adds ``action_masks()``, which sb3-contrib calls, from ``info["action_mask"]``."""

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Reset and remember the mask."""
        observation, info = self.env.reset(**options)
        self._mask = info["action_mask"]
        return observation, info

    def step(self, action: Any) -> Any:
        """Step and remember the mask."""
        result = self.env.step(action)
        self._mask = result[-1]["action_mask"]
        return result

    def action_masks(self) -> np.ndarray:
        """The allowed tokens, bool ``[V]``."""
        return self._mask.astype(bool)


def maskable_ppo(student: Policy, task: Task, oracle: Oracle, settings: TrainerSettings) -> int:
    """Proximal policy optimization that never generates PAD or BOS."""
    options = {"oracle": oracle, "reward": settings.reward, "action_mask": True, "text": "never"}
    envs = dummy_vec_env(settings.envs, task, ActionMasks, **options)
    algorithm = partial(MaskablePPO, MaskableTextPolicy, envs)
    return learn(algorithm, student, settings, **ppo_options(settings))
