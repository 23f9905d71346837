"""Students of a small Copy-v0, which they can learn to perfection in a few seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.algorithms import Algorithm
from agents.algorithms.bc import BC
from agents.generation.rollout import rollout
from agents.model import build_policy
from agents.runs.demonstrations import training_demonstrations
from agents.training.config import TrainConfig
from agents.training.saving import Checkpoints
from agents.training.trainer import train
from textgen_env.data.batching import Batches
from textgen_env.tasks import copy
from textgen_env.tasks.task import Task

SOLVED = 98.0  # % of test strings copied exactly; the optimum is 100, the tolerance 2
SIZES = {"layers": 1, "width": 32, "ffn": 64, "dropout": 0.0}
BATCH_TOKENS = 256


def copy_task() -> Task:
    """Strings of one to five out of five symbols."""
    return copy.load(symbols=5, max_length=5, horizon=8)


def student(task: Task, seed: int) -> Any:
    """A transformer with fresh weights."""
    return build_policy("transformer", SIZES, task.vocabulary, seed)


class StopTrainingError(Exception):
    """Ends a training early."""


def half_trained_student(folder: Path, task: Task, seed: int) -> Any:
    """A student whose training stopped when it copied 75 % of the validation split."""
    policy = student(task, seed)

    def validate() -> dict[str, float]:
        score = accuracy(policy, task, "valid")
        if score >= 75:
            raise StopTrainingError
        return {"valid_score": score}

    algorithm, batches = BC(policy), Batches(task.splits["train"], BATCH_TOKENS, seed, task.limit)
    config = TrainConfig(400, lr=3e-3, warmup=40, validations=40, seed=seed)
    with pytest.raises(StopTrainingError):
        train(algorithm, policy, batches, validate, config, Checkpoints(folder, "student", {}))
    return policy


def fit(
    folder: Path, task: Task, algorithm: Algorithm, steps: int, seed: int, lr: float = 3e-3
) -> float:
    """Train the algorithm's policy and return its accuracy on the test split, in percent."""
    policy: Any = algorithm.policy
    split = training_demonstrations(
        algorithm.demonstrations, task, algorithm.oracle, "float32", "cpu"
    ).split
    train(
        algorithm,
        policy,
        Batches(split, BATCH_TOKENS, seed, task.limit),
        lambda: {"valid_score": accuracy(policy, task, "valid")},
        TrainConfig(steps, lr=lr, warmup=40, validations=5, seed=seed),
        Checkpoints(folder, "student", {}),
    )
    return accuracy(policy, task, "test")


def accuracy(policy: Any, task: Task, split: str) -> float:
    """Percentage of the split's sources that greedy decoding copies exactly."""
    batch = Batches(task.splits[split], 100_000, 0, task.limit).at(0)
    assert len(batch) == len(task.splits[split])
    episodes = rollout(policy, batch.source, batch.limit)
    width = min(batch.target.shape[1], episodes.action.shape[1])
    same = (batch.target[:, :width] == episodes.action[:, :width]).all(1)
    return 100 * (same & (batch.length == episodes.length)).double().mean().item()
