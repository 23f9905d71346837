"""A short training on Copy-v0, which a test can interrupt."""

import json
import signal

import torch

from agents.algorithms import Algorithm, Loss
from agents.algorithms.bc import BC
from agents.model import build_policy
from agents.training.saving import Checkpoints
from agents.training.trainer import TrainConfig, train
from textgen_env.data.batching import Batches
from textgen_env.tasks.copy import load

STEPS = 12


class Stop(Exception):
    pass


class At(Algorithm):
    """An algorithm to which ``happen`` happens at some step; what that returns spoils the loss."""

    def __init__(self, algorithm, step, happen):
        super().__init__()
        self.algorithm, self.step, self.happen = algorithm, step, happen

    def loss(self, batch, clock):
        loss = self.algorithm.loss(batch, clock)
        return Loss(loss.sum * self.happen(), loss.weight) if clock.step + 1 == self.step else loss


def die():
    raise Stop


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)
    return 1.0


def student(seed=0):
    task = load(train=200, valid=20, test=20)
    return build_policy(
        "transformer", {"width": 16, "heads": 2, "ffn": 32, "dropout": 0.2}, task.vocabulary, seed
    )


def fit(folder, at=None, happen=die, resume=False, seed=0, scores=None, make=BC, lr=0.01, **more):
    task, policy = load(train=200, valid=20, test=20), student(seed)
    algorithm = make(policy)
    if at is not None:
        algorithm = At(algorithm, at, happen)
    values = iter(scores or ())

    def validate():
        score = (
            next(values)
            if scores
            else sum(weight.abs().sum().item() for weight in policy.parameters())
        )
        return {"valid_score": float(score), "valid_loss": 0.0}

    batches = Batches(task.splits["train"], 128, seed, task.limit)
    config = TrainConfig(
        STEPS, lr=lr, warmup=2, clip=1.0, validations=3, seed=seed, resume=resume, **more
    )
    progress = train(
        algorithm,
        policy,
        batches,
        validate,
        config,
        Checkpoints(folder, "student", {"vocabulary": "v"}),
    )
    return policy, progress


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same(left, right):
    return all(
        torch.equal(a, b)
        for a, b in zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    )
