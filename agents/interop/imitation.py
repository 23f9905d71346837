"""BC and DAgger of the library imitation, with our oracle as expert and our policy as learner.

Observations are flat, because imitation's DAgger does not support ``Dict``. A sample is one
(source, prefix, token), so a step trains on far fewer tokens than our sequence-level training. Use
it as a reference (``python experiments/bench.py suite=train``). Extra: imitation.
"""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from datasets import disable_progress_bars
from imitation.algorithms.bc import BC
from imitation.algorithms.dagger import LinearBetaSchedule, SimpleDAggerTrainer
from imitation.data import rollout
from imitation.util.logger import HierarchicalLogger
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.interop import TrainerSettings
from agents.interop.sb3 import TextPolicy, policy_inputs, policy_kwargs
from agents.interop.vec_env import TextVecEnv
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle, Policy

QUIET: dict[str, Any] = {"progress_bar": False, "log_interval": 10**9}


class OraclePolicy(BasePolicy):
    """An oracle as an expert for imitation, without parameters."""

    def __init__(self, observation_space: gym.Space, action_space: Any, oracle: Oracle) -> None:
        super().__init__(observation_space, action_space)
        self.oracle = oracle

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        return self.oracle.action(*policy_inputs(self.observation_space, observation))


def flat_vec_env(task: Task, oracle: Oracle, settings: TrainerSettings) -> VecEnv:
    """Seeded environments with flat observations."""
    envs = TextVecEnv(task, settings.envs, flat=True, oracle=oracle, reward=settings.reward)
    envs.seed(settings.seed)
    return envs


def bc_trainer(student: Policy, envs: VecEnv, settings: TrainerSettings) -> BC:
    """A BC trainer of imitation for ``student``."""
    torch.manual_seed(settings.seed)  # its data loader shuffles with torch's global generator
    kwargs, spaces = (
        policy_kwargs(student, dropout=True),
        (envs.observation_space, envs.action_space),
    )
    return BC(
        observation_space=envs.observation_space,
        action_space=envs.action_space,
        rng=np.random.default_rng(settings.seed),
        policy=TextPolicy(*spaces, lambda _: settings.lr, **kwargs),
        batch_size=settings.batch,
        optimizer_kwargs={"lr": settings.lr},
        ent_weight=0.0,
        device=settings.device,
        custom_logger=HierarchicalLogger(Logger(None, [])),
    )


def bc(student: Policy, task: Task, oracle: Oracle, settings: TrainerSettings) -> int:
    """Behavioral cloning of the oracle's episodes."""
    envs = flat_vec_env(task, oracle, settings)
    trainer = bc_trainer(student, envs, settings)
    enough = rollout.make_sample_until(min_timesteps=settings.steps, min_episodes=None)
    expert = OraclePolicy(envs.observation_space, envs.action_space, oracle)
    episodes = rollout.rollout(expert, envs, enough, rng=trainer.rng, unwrap=False)
    transitions = rollout.flatten_trajectories(episodes)
    trainer.set_demonstrations(transitions)
    trainer.train(n_epochs=settings.epochs, **QUIET)
    return len(transitions)


def dagger(student: Policy, task: Task, oracle: Oracle, settings: TrainerSettings) -> int:
    """DAgger with data aggregation: eight rounds of equal size; β decays to 0 in the first four."""
    disable_progress_bars()  # of ``datasets``, with which imitation saves every episode
    envs = flat_vec_env(task, oracle, settings)
    with TemporaryDirectory() as scratch:
        trainer = SimpleDAggerTrainer(
            venv=envs,
            scratch_dir=scratch,
            expert_policy=OraclePolicy(envs.observation_space, envs.action_space, oracle),
            rng=np.random.default_rng(settings.seed),
            beta_schedule=LinearBetaSchedule(4),
            bc_trainer=bc_trainer(student, envs, settings),
            custom_logger=HierarchicalLogger(Logger(None, [])),
        )
        trainer.train(
            settings.steps,
            rollout_round_min_episodes=1,
            rollout_round_min_timesteps=-(-settings.steps // 8),
            bc_train_kwargs={"n_epochs": settings.epochs, "log_rollouts_venv": None, **QUIET},
        )
    return sum(map(len, trainer._all_demos))
