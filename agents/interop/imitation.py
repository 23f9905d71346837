"""The imitation library's BC and DAgger on our environments, with our oracle as their expert and our policy as their learner.

Observations are the flat view: its DAgger takes no ``Dict``.  A row is one (source, prefix, token), as that library sees an
episode: it is the yardstick of our sequence-level training, not its rival (``python experiments/bench.py suite=train``).
"""

from __future__ import annotations

from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import Tensor

from agents.interop import Settings
from agents.interop.sb3 import TextPolicy, around, states
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle, Policy

NEVER = 10**9


class OraclePolicy(BasePolicy):
    """Our oracle as an expert of theirs; nothing in it can be trained."""

    def __init__(self, observation_space: gym.Space, action_space: Any, oracle: Oracle) -> None:
        super().__init__(observation_space, action_space)
        self.oracle = oracle

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        return self.oracle.action(*states(self.observation_space, observation))


def flat(count: int, task: Task, **options: Any) -> DummyVecEnv:
    """``count`` environments of ``task`` with flat observations, as imitation takes them."""
    return DummyVecEnv([lambda: FlatObservation(TextGenEnv(task, **options))] * count)


def learner(student: Policy, envs: VecEnv, settings: Settings) -> Any:
    """imitation's BC trainer of ``student``; ``bc_trainer.policy`` is what it trains."""
    from imitation.algorithms.bc import BC

    torch.manual_seed(settings.seed)  # its data loader shuffles by the global generator
    return BC(
        observation_space=envs.observation_space,
        action_space=envs.action_space,
        rng=np.random.default_rng(settings.seed),
        policy=TextPolicy(envs.observation_space, envs.action_space, lambda _: settings.lr, **around(student, dropout=True)),
        batch_size=settings.batch,
        optimizer_kwargs={"lr": settings.lr},
        ent_weight=0.0,
        device=settings.device,
        custom_logger=_silent(),
    )


def bc(student: Policy, task: Task, oracle: Oracle, settings: Settings) -> int:
    """Behavioural cloning of the oracle's own episodes."""
    from imitation.data import rollout

    envs = flat(settings.envs, task, oracle=oracle, reward=settings.reward, text="never")
    envs.seed(settings.seed)
    trainer = learner(student, envs, settings)
    expert = OraclePolicy(envs.observation_space, envs.action_space, oracle)
    until = rollout.make_sample_until(min_timesteps=settings.steps, min_episodes=None)
    episodes = rollout.rollout(expert, envs, until, rng=trainer.rng, unwrap=False)
    transitions = rollout.flatten_trajectories(episodes)
    trainer.set_demonstrations(transitions)
    trainer.train(n_epochs=settings.epochs, progress_bar=False, log_interval=NEVER)
    return len(transitions)


def dagger(student: Policy, task: Task, oracle: Oracle, settings: Settings) -> int:
    """DAgger: eight rounds of equally many steps, aggregated; β falls to 0 in the first four."""
    from datasets import disable_progress_bars
    from imitation.algorithms.dagger import LinearBetaSchedule, SimpleDAggerTrainer

    disable_progress_bars()  # it has one for every episode that it saves
    envs = flat(settings.envs, task, oracle=oracle, reward=settings.reward, text="never")
    envs.seed(settings.seed)
    training = {"n_epochs": settings.epochs, "progress_bar": False, "log_interval": NEVER, "log_rollouts_venv": None}
    with TemporaryDirectory() as scratch:
        trainer = SimpleDAggerTrainer(
            venv=envs,
            scratch_dir=scratch,
            expert_policy=OraclePolicy(envs.observation_space, envs.action_space, oracle),
            rng=np.random.default_rng(settings.seed),
            beta_schedule=LinearBetaSchedule(4),
            bc_trainer=learner(student, envs, settings),
            custom_logger=_silent(),
        )
        trainer.train(
            settings.steps,
            rollout_round_min_episodes=1,
            rollout_round_min_timesteps=-(-settings.steps // 8),
            bc_train_kwargs=training,
        )
    return sum(map(len, trainer._all_demos))


def _silent() -> Any:
    from imitation.util.logger import HierarchicalLogger
    from stable_baselines3.common.logger import Logger

    return HierarchicalLogger(Logger(None, []))


NAMES = {"imitation_bc": partial(bc), "imitation_dagger": partial(dagger)}
