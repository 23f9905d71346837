"""A tiny copy task, a student for it, and observations along an episode."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from agents.interop import sb3
from agents.policies.transformer import TransformerPolicy
from textgen_env.envs import dynamics
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.tasks import copy
from textgen_env.tasks.task import Task
from textgen_env.types import BOS, PAD


def copy_task() -> Task:
    """Copy-v0 with five symbols and strings of at most four."""
    return copy.load(symbols=5, max_length=4, horizon=6, train=300, valid=10, test=40)


def small_student(task: Task, dropout: float = 0.0) -> TransformerPolicy:
    """The same random weights at every call."""
    torch.manual_seed(0)
    return TransformerPolicy(
        len(task.vocabulary), layers=1, width=32, heads=2, ffn=64, dropout=dropout
    )


def episode(task: Task, flat: bool, seed: int) -> tuple[Any, dynamics.EnvState]:
    """Stacked observations, flat or as a dictionary, and states of an episode of random tokens."""
    env = TextGenEnv(task)
    generator = np.random.default_rng(seed)
    observations = [env.reset(seed=seed)[0]]
    for action in generator.choice([PAD, BOS, 4, 5, 6], task.horizon):
        observations.append(env.step(action)[0])
    parts = {name: np.stack([row[name] for row in observations]) for name in observations[0]}
    return FlatObservation.flatten(parts) if flat else parts, dynamics.EnvState(**parts)


def sb3_policy(kind: type, task: Task, student: Any, flat: bool = False) -> Any:
    """``student`` wrapped in a Stable-Baselines3 policy class."""
    env = TextGenEnv(task)
    space = FlatObservation.flat_space(env.observation_space) if flat else env.observation_space
    return kind(space, env.action_space, lambda _: 1e-3, **sb3.policy_kwargs(student))
