"""sb3-contrib's MaskablePPO on our policies (extra: contrib)."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

from agents.interop import Settings
from agents.interop.sb3 import learn, minibatches, put_heads, vector_env
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle, Policy


class MaskableTextPolicy(MaskableActorCriticPolicy):
    """``TextPolicy`` for MaskablePPO: it never generates a token that the mask forbids.  Its kwargs: ``around(policy)``.

    The logits are float64: sb3-contrib 2.2 checks that probabilities sum to 1 within 1e-6; thousands of float32 ones do not.
    """

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        put_heads(self, lr_schedule, torch.float64)


class ActionMasks(gym.Wrapper):
    """Adds ``action_masks()``, which sb3-contrib calls: the last ``info["action_mask"]``, bool ``[V]``."""

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**options)
        self._mask = info["action_mask"]
        return observation, info

    def step(self, action: Any) -> Any:
        step = self.env.step(action)
        self._mask = step[-1]["action_mask"]
        return step

    def action_masks(self) -> np.ndarray:
        """bool ``[V]``: the allowed tokens."""
        return self._mask.astype(bool)


def maskable_ppo(student: Policy, task: Task, oracle: Oracle, settings: Settings) -> int:
    """Proximal policy optimization that never generates PAD or BOS."""
    options = {"oracle": oracle, "reward": settings.reward, "action_mask": True, "text": "never"}
    envs = vector_env(settings.envs, task, ActionMasks, **options)
    return learn(
        partial(MaskablePPO, MaskableTextPolicy, envs), student, settings, **minibatches(settings)
    )
