"""Small policies, experts and algorithms for the tests of learners."""

from __future__ import annotations

from functools import partial
from typing import Any

import agents.algorithms
from agents.algorithms import Algorithm, Clock, Loss
from agents.algorithms.base import as_loss
from agents.discovery import build, variants
from agents.generation.decoding import greedy
from agents.model import build_policy
from textgen_env.data.batching import Batches
from textgen_env.envs import rewards
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import Task, expert
from textgen_env.types import Batch

ALGORITHMS = variants(agents.algorithms)
START = Clock(seed=0, step=0, steps=10)


def small_policy(task: Task, dropout: float = 0.0, seed: int = 0) -> Any:
    """A transformer of one layer."""
    settings = {"layers": 1, "width": 16, "heads": 2, "ffn": 16, "dropout": dropout}
    return build_policy("transformer", settings, task.vocabulary, seed)


def teacher(task: Task, seed: int = 7) -> PolicyOracle:
    """A policy as the expert: it has tensors, and is sure of nothing."""
    return PolicyOracle(small_policy(task, seed=seed), greedy, task.vocabulary, task.vocabulary)


def make(name: str, task: Task, policy: Any, oracle: Any = None, **settings: Any) -> Algorithm:
    """The algorithm of that name, with the settings it has there and ``settings``; rewarded by the task's accuracy."""
    oracle = expert(task) if oracle is None else oracle
    reward = partial(
        rewards.score_trajectories, rewards.make("accuracy", task, oracle), task, "train"
    )
    algorithm: Algorithm = build(
        ALGORITHMS[name], settings, policy=policy, oracle=oracle, reward=reward
    )
    algorithm.oracle = oracle
    return algorithm


def batch_of(task: Task, step: int = 0, tokens: int = 400) -> Batch:
    """A batch of its training split."""
    return Batches(task.splits["train"], tokens, 0, task.limit).at(step)


def first_loss(algorithm: Algorithm, batch: Batch, clock: Clock = START) -> Loss:
    """The first loss of a round of one batch."""
    return as_loss(algorithm, next(algorithm.updates([batch], clock)), batch.tokens)
