"""Stable-Baselines3's on-policy trainers on our policies: token ids go to our embeddings, our logits are their distribution.

    model = PPO(TextPolicy, env, policy_kwargs=around(student))

trains ``student`` itself, which can then be decoded, judged and saved like any other.  Observations are the environment's
``Dict`` or its flat view.  Stable-Baselines3 hands them over as float32, which is exact up to 16,777,216 tokens.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor, nn

from agents.generation.rollout import without_dropout
from agents.interop import Settings
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.tasks.task import Task
from textgen_env.types import BOS, Oracle, Policy


class TextPolicy(ActorCriticPolicy):
    """Actor: our policy.  Critic: a linear map of what its output layer reads, whose gradient does not reach it."""

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        put_heads(self, lr_schedule)


def around(policy: Policy, dropout: bool = False) -> dict[str, Any]:
    """The ``policy_kwargs`` with which a ``TextPolicy`` is ``policy``: no layer between it and the heads, no weight redrawn.

    dropout: learn with ``policy``'s own.  Not where actions were sampled: they are of the policy without it, and with it the
    ratio of PPO is another than 1 before a single update.
    """
    return {
        "net_arch": [],
        "ortho_init": False,
        "features_extractor_class": Reader,
        "features_extractor_kwargs": {"policy": policy, "dropout": dropout},
    }


class Reader(BaseFeaturesExtractor):
    """What ``policy``'s output layer reads at the state an observation is: ``[B, D]``."""

    def __init__(self, observation_space: gym.Space, policy: Any, dropout: bool = False) -> None:
        super().__init__(observation_space, policy.feature_width)
        self.policy, self.dropout = policy, dropout

    def forward(self, observation: Tensor | dict[str, Tensor]) -> Tensor:
        source, prefix, mask = states(self._observation_space, observation)
        with nullcontext() if self.dropout else without_dropout(self.policy):
            return self.policy.features(source, prefix, mask)


class OutputLayer(nn.Module):
    """``policy``'s own logits; its weights are registered where the features are read."""

    def __init__(self, policy: Policy, dtype: torch.dtype) -> None:
        super().__init__()
        self.head, self.dtype = policy.head, dtype

    def forward(self, features: Tensor) -> Tensor:
        return self.head(features).to(self.dtype)


class ValueHead(nn.Linear):
    """A value of the features, and no gradient for them."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.detach())


def put_heads(policy: Any, lr_schedule: Any, dtype: torch.dtype = torch.float32) -> None:
    """Instead of the output layers that Stable-Baselines3 made in ``policy``, ours; and so its optimiser anew."""
    policy.action_net = OutputLayer(policy.features_extractor.policy, dtype)
    policy.value_net = ValueHead(policy.features_dim, 1)
    policy.optimizer = policy.optimizer_class(policy.parameters(), lr=lr_schedule(1), **policy.optimizer_kwargs)


def states(space: gym.Space, observation: Tensor | dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """What to ask a policy or an oracle about ``observation`` of ``space``: source ``[B, S]``, prefix ``[B, T]`` (BOS first)
    and a mask ``[B, T]``, True once a row, at the state itself; columns that no row needs are cut off.
    """
    parts: Any = observation
    if isinstance(space, spaces.Box):
        parts = FlatObservation.unflatten(observation, space.shape[0] - int(space.high[-1]) - 2)
    source, prefix, length = (parts[name].long() for name in ("source", "prefix", "prefix_length"))
    longest, width = int(parts["source_length"].max()), int(length.max())
    prefix = torch.cat([torch.full_like(length, BOS), prefix[:, :width]], 1)  # [B, width + 1]
    return source[:, :longest], prefix, torch.arange(width + 1, device=length.device) == length


class ActionMasks(gym.Wrapper):
    """``action_masks()``, the method sb3-contrib asks for: the mask of the state reached, which ``info`` has."""

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**options)
        self._mask = info["action_mask"]
        return observation, info

    def step(self, action: Any) -> Any:
        step = self.env.step(action)
        self._mask = step[-1]["action_mask"]
        return step

    def action_masks(self) -> np.ndarray:
        """``[V]`` bool: the tokens that may be written."""
        return self._mask.astype(bool)


def side_by_side(count: int, task: Task, **options: Any) -> DummyVecEnv:
    """``count`` environments of ``task`` as Stable-Baselines3 takes them, with ``action_masks()`` if ``action_mask``."""

    def make() -> gym.Env:
        env = TextGenEnv(task, **options)
        return ActionMasks(env) if options.get("action_mask") else env

    return DummyVecEnv([make] * count)


def ppo(student: Policy, task: Task, oracle: Oracle, settings: Settings) -> int:
    """Proximal policy optimisation."""
    return _learn(PPO, TextPolicy, student, task, oracle, settings, **_minibatches(settings))


def a2c(student: Policy, task: Task, oracle: Oracle, settings: Settings) -> int:
    """Advantage actor-critic: a gradient step on the last ``batch`` states, once: a small batch suits it."""
    steps = max(1, settings.batch // settings.envs)
    return _learn(A2C, TextPolicy, student, task, oracle, settings, n_steps=steps, use_rms_prop=False, normalize_advantage=True)


def maskable_ppo(student: Policy, task: Task, oracle: Oracle, settings: Settings) -> int:
    """Proximal policy optimisation that never writes PAD or BOS."""
    from sb3_contrib import MaskablePPO

    from agents.interop.contrib import MaskableTextPolicy

    return _learn(MaskablePPO, MaskableTextPolicy, student, task, oracle, settings, action_mask=True, **_minibatches(settings))


def _minibatches(settings: Settings) -> dict[str, Any]:
    """Eight mini-batches a roll-out."""
    steps = max(1, 8 * settings.batch // settings.envs)
    return {"n_steps": steps, "batch_size": settings.batch, "n_epochs": settings.epochs}


def _learn(
    trainer: Any,
    kind: type,
    student: Policy,
    task: Task,
    oracle: Oracle,
    settings: Settings,
    action_mask: bool = False,
    **options: Any,
) -> int:
    envs = side_by_side(settings.envs, task, oracle=oracle, reward=settings.reward, action_mask=action_mask, text="never")
    model = trainer(
        kind,
        envs,
        learning_rate=settings.lr,
        gamma=settings.gamma,
        seed=settings.seed,
        device=settings.device,
        policy_kwargs=around(student),
        **options,
    )
    return model.learn(settings.steps).num_timesteps


NAMES = {"sb3_ppo": partial(ppo), "sb3_a2c": partial(a2c), "sb3_maskable_ppo": partial(maskable_ppo)}
