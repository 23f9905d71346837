"""On-policy trainers of Stable-Baselines3 on our policies.

    model = PPO(TextPolicy, env, policy_kwargs=policy_kwargs(student))

This trains ``student`` itself: its embeddings get the token ids, and its logits are the action
distribution. Observations are the environment's ``Dict`` or its flat view. Stable-Baselines3
converts them to float32, which is exact up to 16,777,216 tokens.
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
from torch import Tensor, nn

from agents.generation.rollout import without_dropout
from agents.interop import TrainerSettings
from agents.interop.vec_env import TextVecEnv
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.tasks.task import Task
from textgen_env.types import BOS, Oracle, Policy


class TextPolicy(ActorCriticPolicy):
    """Our policy is the actor; the critic is a linear map of its detached features."""

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        replace_heads(self, lr_schedule)


def policy_kwargs(policy: Policy, dropout: bool = False) -> dict[str, Any]:
    """The ``policy_kwargs`` for a ``TextPolicy`` that trains ``policy`` without extra layers.

    Args:
        policy: The policy to train; its weights are not initialized again.
        dropout: Whether to train with the policy's dropout. Leave it off if actions are sampled:
        they
            are sampled without dropout, and PPO's ratio must be 1 before the first update.
    """
    return {
        "net_arch": [],
        "ortho_init": False,
        "features_extractor_class": Features,
        "features_extractor_kwargs": {"policy": policy, "dropout": dropout},
    }


class Features(BaseFeaturesExtractor):
    """``policy.features`` at the state of an observation, ``[B, D]``."""

    def __init__(self, observation_space: gym.Space, policy: Any, dropout: bool = False) -> None:
        super().__init__(observation_space, policy.feature_width)
        self.policy, self.dropout = policy, dropout

    def forward(self, observation: Tensor | dict[str, Tensor]) -> Tensor:
        """Compute the features of a batch of observations."""
        source, prefix, mask = policy_inputs(self._observation_space, observation)
        with nullcontext() if self.dropout else without_dropout(self.policy):
            return self.policy.features(source, prefix, mask)


class Head(nn.Module):
    """``policy.head``, as a bound method: its weights are already registered in ``Features``."""

    def __init__(self, policy: Policy, dtype: torch.dtype) -> None:
        super().__init__()
        self.head, self.dtype = policy.head, dtype

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``[B, V]``."""
        return self.head(features).to(self.dtype)


class ValueHead(nn.Linear):
    """A linear value function of the detached features."""

    def forward(self, features: Tensor) -> Tensor:
        """Values ``[B, 1]``."""
        return super().forward(features.detach())


def replace_heads(policy: Any, lr_schedule: Any, dtype: torch.dtype = torch.float32) -> None:
    """Replace the output layers of a Stable-Baselines3 ``policy``, and recreate its optimizer."""
    policy.action_net = Head(policy.features_extractor.policy, dtype)
    policy.value_net = ValueHead(policy.features_dim, 1)
    policy.optimizer = policy.optimizer_class(
        policy.parameters(), lr=lr_schedule(1), **policy.optimizer_kwargs
    )


def policy_inputs(
    space: gym.Space, observation: Tensor | dict[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Convert a batch of observations of ``space`` to the arguments of a policy or an oracle.

    Returns:
        Source ``[B, S]``, prefix ``[B, T]`` starting with BOS, and a mask ``[B, T]`` that is True
        at the current state only. Columns with nothing but padding are removed.
    """
    parts: Any = observation
    if isinstance(space, spaces.Box):
        parts = FlatObservation.unflatten(observation, space.shape[0] - int(space.high[-1]) - 2)
    source, prefix, length = (parts[name].long() for name in ("source", "prefix", "prefix_length"))
    source_width, prefix_width = int(parts["source_length"].max()), int(length.max())
    prefix = torch.cat([torch.full_like(length, BOS), prefix[:, :prefix_width]], 1)
    mask = torch.arange(prefix_width + 1, device=length.device) == length
    return source[:, :source_width], prefix, mask


def ppo(student: Policy, task: Task, oracle: Oracle, settings: TrainerSettings) -> int:
    """Proximal policy optimization."""
    envs = TextVecEnv(task, settings.envs, oracle=oracle, reward=settings.reward)
    return learn(partial(PPO, TextPolicy, envs), student, settings, **ppo_options(settings))


def a2c(student: Policy, task: Task, oracle: Oracle, settings: TrainerSettings) -> int:
    """Advantage actor-critic: one gradient step on each ``batch`` states."""
    envs = TextVecEnv(task, settings.envs, oracle=oracle, reward=settings.reward)
    steps = max(1, settings.batch // settings.envs)
    options = {"n_steps": steps, "use_rms_prop": False, "normalize_advantage": True}
    return learn(partial(A2C, TextPolicy, envs), student, settings, **options)


def ppo_options(settings: TrainerSettings) -> dict[str, Any]:
    """The options of PPO for four mini-batches per rollout."""
    steps = max(1, 4 * settings.batch // settings.envs)
    return {"n_steps": steps, "batch_size": settings.batch, "n_epochs": settings.epochs}


def learn(
    algorithm: Callable[..., Any], student: Policy, settings: TrainerSettings, **options: Any
) -> int:
    """Train ``student``; ``algorithm`` constructs the model from the remaining options."""
    model = algorithm(
        learning_rate=lambda remaining: settings.lr * remaining,  # share of the steps to come
        gamma=settings.gamma,
        ent_coef=settings.entropy,
        seed=settings.seed,
        device=settings.device,
        policy_kwargs=policy_kwargs(student),
        **options,
    )
    return model.learn(settings.steps).num_timesteps  # type: ignore[no-any-return]
