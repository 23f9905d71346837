"""The one training loop: a round of batches → the algorithm's losses → optimizer steps; validate, log and save in between."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.random import fork_rng

from agents.algorithms.base import (
    UPDATES_PER_ROUND,
    Algorithm,
    Clock,
    Loss,
    as_loss,
    check_initialized,
    iterate_updates,
    loss_origin,
)
from agents.precision import precision
from agents.training.checkpoint import load_tensors, load_weights
from agents.training.learning_rate import learning_rate
from agents.training.logger import Logger
from agents.training.progress import Cost, Progress
from agents.training.saving import Checkpoints, Validate
from agents.training.signals import deferred
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.profiler import Profiler, count, phase
from textgen_env.randomness import derive_seed

__all__ = ["Cost", "Interrupted", "Progress", "TrainConfig", "train"]

END = object()  # of a round
LOGGED = 100  # how often metrics are logged, in equal parts of the training


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        steps: optimizer steps.
        lr: peak learning rate of Adam.
        schedule: of the learning rate after its warm-up: linear or inverse_sqrt.
        warmup: steps of linear warm-up.
        clip: largest gradient norm.
        validations: how many, evenly spaced, the last one at the end; each saves a checkpoint.
        seed: key of all random numbers.
        precision: "float32" or "bf16".
        device: of torch.
        resume: continue from the last checkpoint if there is one. The weights at the end are the same to the bit.
        validate_first: validate before the first step too, so that the result is never worse than the start.
    """

    steps: int
    lr: float = 1e-3
    schedule: str = "linear"
    warmup: int = 100
    clip: float = 5.0
    validations: int = 10
    seed: int = 0
    precision: str = "float32"
    device: str = "cpu"
    resume: bool = False
    validate_first: bool = False


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or SIGHUP: what can be saved is saved, and the message says how to resume.

    Attributes:
        number: the signal's.
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number


def train(
    algorithm: Algorithm,
    policy: nn.Module,
    batches: Batches,
    validate: Validate,
    config: TrainConfig,
    files: Checkpoints,
) -> Progress:
    """Train ``policy``; afterwards it holds the weights of the best validation.

    Args:
        algorithm: turns batches into losses.
        policy: the student.
        batches: ``batches.at(number)``.
        validate: returns metrics named ``valid_…``; the first is the score, higher is better.
        config: how to train.
        files: the run's checkpoints.

    Returns:
        Where the training ended and what it cost.

    Raises:
        UserError: a loss, gradient or weight is not finite, or state of the algorithm would be lost on a resume.
        Interrupted: a signal arrived, and the state is saved.
    """
    check_initialized(algorithm)
    algorithm.to(config.device)
    weights = [*policy.parameters(), *algorithm.parameters()]
    optimizer = torch.optim.Adam(weights, lr=config.lr, betas=(0.9, 0.98), eps=1e-9, fused=True)
    rate = learning_rate(config.schedule, config.warmup, config.steps)
    state = files.open(
        policy, algorithm, optimizer, config.steps, validate if config.resume else None
    )
    policy.train()
    with (
        Logger(files.folder, files.phase, state.step, config.steps) as logger,
        deferred() as signals,
        fork_rng(),
    ):
        if config.validate_first and state.step == 0:
            metrics = files.validate(validate, state)
            algorithm.validated(metrics)
            logger.log(0, {**metrics, **asdict(state.cost)})
            files.save(state)
        meter = Meter(state.cost)
        while state.step < config.steps:
            first = state.step
            with Profiler(state.profile, default_phase="gradient") as profiler:
                for loss in one_round(algorithm, batches, state, config):
                    lr = config.lr * rate(state.step)
                    norm = update(loss.mean, weights, optimizer, lr, config.clip)
                    loss.sum = loss.sum.detach()  # the graph goes before the next one comes
                    state.step += 1
                    meter.add(state.step, loss, norm)
                    logger.advance()
            state.cost.add(profiler.counts, sum(state.profile.values()))
            due = _passed(first, state.step, config.steps, config.validations)
            logged = due or _passed(first, state.step, config.steps, LOGGED)
            if (
                logged or signals or norm.device.type == "cpu"
            ):  # a GPU is not waited for at every step
                files.check_finite(meter.worst)
            if logged:
                seconds = {f"{name}_seconds": spent for name, spent in state.profile.items()}
                metrics = {**meter.means(state.cost), "lr": lr, **seconds}
                if due:
                    metrics |= files.validate(validate, state)
                    algorithm.validated(metrics)
                logger.log(state.step, {**metrics, **asdict(state.cost)})
                meter = Meter(state.cost)
            if due or signals:
                files.save(state)
            if signals:
                where = f"interrupted after step {state.step} of {config.steps} ({files.phase})"
                raise Interrupted(f"{where}; saved in {files.last}", signals[0])
    load_weights(policy, load_tensors(files.best)[0], files.best)
    return state


def one_round(
    algorithm: Algorithm, batches: Batches, state: Progress, config: TrainConfig
) -> Iterator[Loss]:
    """The losses of one round, at most to the end of the training; ``state`` counts the batches that it takes.

    Dropout draws from torch's own generator, which is seeded for each round: nothing of it has to be saved.
    """
    clock, left = Clock(config.seed, state.step, config.steps), config.steps - state.step
    taken = min(algorithm.batches_per_round, left)
    with phase("data"):
        group = [batches.at(state.batches + number).to(config.device) for number in range(taken)]
    state.batches += taken
    torch.manual_seed(derive_seed((config.seed, state.step), "dropout"))
    queries = algorithm.oracle.queries if algorithm.oracle else 0
    with precision(config.precision, config.device):
        updates, number = iterate_updates(algorithm, group, clock), 0
    while number < left:
        with precision(config.precision, config.device):
            output = next(updates, END)
        if output is END:
            break
        loss = as_loss(algorithm, output, sum(batch.tokens for batch in group) // taken)
        number += 1
        if number > UPDATES_PER_ROUND:
            raise UserError(
                f"{type(algorithm).__name__}.updates yields more than {UPDATES_PER_ROUND} losses a round"
            )
        count("learned", loss.weight if loss.tokens is None else loss.tokens)
        if algorithm.oracle:
            queries, before = algorithm.oracle.queries, queries
            count("scored", queries - before)
        yield loss
    if not number:
        raise UserError(
            f"{loss_origin(algorithm)} no loss for a batch; at least one a round is expected"
        )


def update(
    loss: Tensor,
    weights: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    lr: float,
    clip: float,
) -> Tensor:
    """One clipped gradient step, left out where the gradient is not finite; returns the gradient's norm before clipping.

    Gradients are dropped at once, as the graph is, so that they do not lie in the memory that the next step needs.
    """
    optimizer.zero_grad(set_to_none=True)
    try:
        loss.backward()
    except RuntimeError as error:
        if not re.search("inplace operation|graph a second time", str(error)):
            raise
        what = "a loss is of weights or a graph that the step before it used up"
        raise UserError(
            f"{what}: updates has to yield each loss before it computes the next"
        ) from error
    norm = nn.utils.clip_grad_norm_(weights, clip)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]  # a fused step skips where it is set
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def _passed(before: int, after: int, steps: int, times: int) -> bool:
    """Whether the steps from ``before`` to ``after`` complete one of ``times`` equal parts of the training."""
    return after * times // steps > before * times // steps


class Meter:
    """Means over some steps, and their speed in learned tokens a second. Metrics on a GPU stay there until they are read.

    Attributes:
        worst: ``[3]``, number, loss and gradient norm of the first step whose norm is not finite, or else of the last.
    """

    def __init__(self, cost: Cost) -> None:
        self.sums: dict[str, float | Tensor] = {}
        self.worst: Tensor | None = None
        self.steps, self.tokens, self.seconds = 0, cost.gradient_tokens, cost.seconds

    def add(self, step: int, loss: Loss, norm: Tensor) -> None:
        """Add one step."""
        value = loss.mean.detach()
        now = torch.stack([torch.full_like(norm, step), value.to(norm), norm])
        self.worst = (
            now if self.worst is None else torch.where(self.worst[2].isfinite(), now, self.worst)
        )
        for name, metric in {"loss": value, **loss.metrics}.items():
            total = metric.detach().double() if isinstance(metric, Tensor) else metric
            self.sums[name] = self.sums.get(name, 0.0) + total
        self.steps += 1

    def means(self, cost: Cost) -> dict[str, float]:
        """The means so far; ``cost`` is the training's until now."""
        speed = (cost.gradient_tokens - self.tokens) / (cost.seconds - self.seconds)
        return {
            **{name: float(total) / self.steps for name, total in self.sums.items()},
            "tokens_per_second": speed,
        }
