"""A short training run on Copy-v0 that a test can interrupt at any step."""

import json
import signal
from functools import cache

import torch

from agents.algorithms import Algorithm, Loss
from agents.algorithms.bc import BC
from agents.model import build_policy
from agents.training.checkpoint import load_tensors
from agents.training.config import TrainConfig
from agents.training.saving import Checkpoints
from agents.training.trainer import train
from textgen_env.data.batching import Batches
from textgen_env.tasks.copy import load

STEPS = 12

copy_task = cache(lambda: load(train=200, valid=20, test=20))


class CrashError(Exception):
    """Ends a training run as if its process had been killed."""


class ActionAt(Algorithm):
    """Calls ``action`` after the loss of one step, which is multiplied by the returned value."""

    def __init__(self, algorithm, step, action):
        super().__init__()
        self.algorithm, self.step, self.action = algorithm, step, action

    def loss(self, batch, clock):
        loss = self.algorithm.loss(batch, clock)
        if clock.step + 1 != self.step:
            return loss
        return Loss(loss.sum * self.action(), loss.weight)


def crash():
    raise CrashError


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)
    return 1.0


def new_student(seed=0):
    settings = {"width": 16, "heads": 2, "ffn": 32, "dropout": 0.2}
    return build_policy("transformer", settings, copy_task().vocabulary, seed)


def fit(
    folder, at=None, action=crash, algorithm=BC, resume=False, seed=0, scores=None, **overrides
):
    """Train a new student in ``folder`` for ``STEPS`` steps with three checkpoints.

    Args:
        folder: The run folder.
        at: The step of ``action``, if any.
        action: As in ``ActionAt``.
        algorithm: Called with the policy.
        resume: Resume the training in ``folder``.
        seed: Training seed.
        scores: The validation scores; by default the norm of the weights.
        overrides: Of the ``TrainConfig``.

    Returns:
        The policy and the final ``TrainerState``.
    """
    task, policy = copy_task(), new_student(seed)
    algorithm = algorithm(policy)
    if at is not None:
        algorithm = ActionAt(algorithm, at, action)
    remaining = iter(scores or ())

    def validate():
        if scores:
            score = next(remaining)
        else:
            score = sum(weight.abs().sum().item() for weight in policy.parameters())
        return {"valid_score": float(score), "valid_loss": 0.0}

    settings = {"lr": 0.01, "warmup": 2, "clip": 1.0, "validations": 3, **overrides}
    state = train(
        algorithm,
        policy,
        Batches(task.splits["train"], 128, seed, task.limit),
        validate,
        TrainConfig(STEPS, seed=seed, resume=resume, **settings),
        Checkpoints(folder, "student", {"vocabulary": "v"}),
    )
    return policy, state


def metrics_rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def last_checkpoint(folder):
    return folder / "checkpoints" / "last.safetensors"


def equal_tensors(left, right):
    """Whether two dicts of tensors are bitwise equal."""
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def equal_weights(left, right):
    return equal_tensors(left.state_dict(), right.state_dict())


def equal_checkpoints(left, right):
    """Whether the last checkpoints of two run folders hold equal tensors."""
    return equal_tensors(*(load_tensors(last_checkpoint(folder))[0] for folder in (left, right)))
