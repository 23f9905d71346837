"""Stable-Baselines3's on-policy trainers on our policies: token ids go to our embeddings, our logits are the distribution.

    model = PPO(TextPolicy, env, policy_kwargs=around(student))

trains ``student`` itself, which can then be decoded, evaluated and saved like any other.  Observations are the environment's
``Dict`` or its flat view.  Stable-Baselines3 converts them to float32, which is exact up to 16,777,216 tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import gymnasium as gym
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
    """Actor: our policy.  Critic: a linear map of its features, whose gradient does not reach the policy."""

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        put_heads(self, lr_schedule)


def around(policy: Policy, dropout: bool = False) -> dict[str, Any]:
    """The ``policy_kwargs`` of a ``TextPolicy`` that trains ``policy``: no extra layer, no weight initialized anew.

    Args:
        policy: The policy to train.
        dropout: Train with the policy's own dropout.  Leave it off where actions are sampled: they come from the policy
            without dropout, and PPO's ratio must be 1 before the first update.
    """
    return {
        "net_arch": [],
        "ortho_init": False,
        "features_extractor_class": Features,
        "features_extractor_kwargs": {"policy": policy, "dropout": dropout},
    }


class Features(BaseFeaturesExtractor):
    """``policy.features`` at the state of an observation: ``[B, D]``."""

    def __init__(self, observation_space: gym.Space, policy: Any, dropout: bool = False) -> None:
        super().__init__(observation_space, policy.feature_width)
        self.policy, self.dropout = policy, dropout

    def forward(self, observation: Tensor | dict[str, Tensor]) -> Tensor:
        source, prefix, mask = states(self._observation_space, observation)
        with nullcontext() if self.dropout else without_dropout(self.policy):
            return self.policy.features(source, prefix, mask)


class Head(nn.Module):
    """``policy.head``; its weights are registered once, in ``Features``."""

    def __init__(self, policy: Policy, dtype: torch.dtype) -> None:
        super().__init__()
        self.head, self.dtype = policy.head, dtype

    def forward(self, features: Tensor) -> Tensor:
        return self.head(features).to(self.dtype)


class ValueHead(nn.Linear):
    """A linear value of the detached features."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.detach())


def put_heads(policy: Any, lr_schedule: Any, dtype: torch.dtype = torch.float32) -> None:
    """Replace the output layers of a Stable-Baselines3 ``policy`` by ours, and renew its optimizer."""
    policy.action_net = Head(policy.features_extractor.policy, dtype)
    policy.value_net = ValueHead(policy.features_dim, 1)
    policy.optimizer = policy.optimizer_class(
        policy.parameters(), lr=lr_schedule(1), **policy.optimizer_kwargs
    )


def states(
    space: gym.Space, observation: Tensor | dict[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The arguments with which to query a policy or an oracle at ``observation`` of ``space``.

    Returns:
        source ``[B, S]``, prefix ``[B, T]`` (BOS first) and a mask ``[B, T]``, True once in a row, at the state itself.
        Columns that are padding in every row are cut off.
    """
    parts: Any = observation
    if isinstance(space, spaces.Box):
        parts = FlatObservation.unflatten(observation, space.shape[0] - int(space.high[-1]) - 2)
    source, prefix, length = (parts[name].long() for name in ("source", "prefix", "prefix_length"))
    longest, width = int(parts["source_length"].max()), int(length.max())
    prefix = torch.cat([torch.full_like(length, BOS), prefix[:, :width]], 1)  # [B, width + 1]
    return source[:, :longest], prefix, torch.arange(width + 1, device=length.device) == length


def vector_env(
    count: int, task: Task, wrapper: Callable[[gym.Env], gym.Env] | None = None, **options: Any
) -> DummyVecEnv:
    """``count`` environments of ``task``, each in ``wrapper``, as Stable-Baselines3 takes them."""

    def make() -> gym.Env:
        env = TextGenEnv(task, **options)
        return wrapper(env) if wrapper else env

    return DummyVecEnv([make] * count)


def ppo(student: Policy, task: Task, oracle: Oracle, settings: Settings) -> int:
    """Proximal policy optimization."""
    envs = vector_env(settings.envs, task, oracle=oracle, reward=settings.reward, text="never")
    return learn(partial(PPO, TextPolicy, envs), student, settings, **minibatches(settings))


def a2c(student: Policy, task: Task, oracle: Oracle, settings: Settings) -> int:
    """Advantage actor-critic: one gradient step on the last ``batch`` states; a small batch suits it."""
    envs = vector_env(settings.envs, task, oracle=oracle, reward=settings.reward, text="never")
    options = {
        "n_steps": max(1, settings.batch // settings.envs),
        "use_rms_prop": False,
        "normalize_advantage": True,
    }
    return learn(partial(A2C, TextPolicy, envs), student, settings, **options)


def minibatches(settings: Settings) -> dict[str, Any]:
    """PPO's options for eight mini-batches per rollout."""
    steps = max(1, 8 * settings.batch // settings.envs)
    return {"n_steps": steps, "batch_size": settings.batch, "n_epochs": settings.epochs}


def learn(
    algorithm: Callable[..., Any], student: Policy, settings: Settings, **options: Any
) -> int:
    """Train ``student`` by a Stable-Baselines3 ``algorithm`` that already has its policy class and environments."""
    model = algorithm(
        learning_rate=settings.lr,
        gamma=settings.gamma,
        seed=settings.seed,
        device=settings.device,
        policy_kwargs=around(student),
        **options,
    )
    return model.learn(settings.steps).num_timesteps  # type: ignore[no-any-return]
