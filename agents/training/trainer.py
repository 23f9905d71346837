"""The training loop: batches → the algorithm's losses → optimizer steps.

Validation, logging and saving happen between rounds.
"""

from __future__ import annotations

import re
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
from agents.training.saving import Checkpoints, Validate
from agents.training.signals import Interrupted, defer_signals
from agents.training.state import Cost, TrainerState
from agents.training.writers import open_writers
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.profiler import Profiler, count, phase
from textgen_env.randomness import derive_seed

END = object()  # marks the end of a round's losses
LOGS = 100  # how often metrics are logged, evenly spaced over the training


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        steps: optimizer steps.
        lr: peak learning rate of Adam.
        schedule: learning rate after the warm-up: linear or inverse_sqrt.
        warmup: steps of linear warm-up.
        clip: largest gradient norm.
        validations: number of validations, evenly spaced, the last one at the end; each of them
            saves a checkpoint.
        seed: key of all random numbers.
        precision: "float32" or "bf16".
        device: torch device.
        resume: continue from the last checkpoint if there is one; the final weights are bitwise
            equal to those of an uninterrupted training.
        validate_first: also validate before the first step, so that the result is never worse
            than the initial weights.
        loggers: names of writers, see ``agents.training.writers``.
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
    loggers: tuple[str, ...] = ("tensorboard",)


def train(
    algorithm: Algorithm,
    policy: nn.Module,
    batches: Batches,
    validate: Validate,
    config: TrainConfig,
    checkpoints: Checkpoints,
) -> TrainerState:
    """Train ``policy``, then load the weights of its best validation.

    Args:
        algorithm: turns batches into losses.
        policy: the student.
        batches: training data; ``batches.at(number)`` is one batch.
        validate: returns metrics named ``valid_…``; the first one is the score, higher is better.
        config: how to train.
        checkpoints: where to save.

    Returns:
        The final state, with the cost of the training.

    Raises:
        UserError: a loss, gradient or weight is not finite, or the algorithm has state that a
            resume would lose.
        Interrupted: a signal arrived; the state was saved first.
    """
    check_initialized(algorithm)
    algorithm.to(config.device)
    weights = [*policy.parameters(), *algorithm.parameters()]
    optimizer = torch.optim.Adam(weights, lr=config.lr, betas=(0.9, 0.98), eps=1e-9, fused=True)
    schedule = learning_rate(config.schedule, config.warmup, config.steps)
    state = checkpoints.open(
        policy, algorithm, optimizer, config.steps, validate if config.resume else None
    )
    policy.train()
    place = checkpoints.folder, checkpoints.phase, state.step
    with (
        Logger(*place, config.steps, open_writers(config.loggers, *place)) as logger,
        defer_signals() as signals,
        fork_rng(),
    ):
        if config.validate_first and state.step == 0:
            metrics = checkpoints.validate(validate, state)
            algorithm.validated(metrics)
            logger.log(0, {**metrics, **asdict(state.cost)})
            checkpoints.save(state)
        meter = Meter(state.cost)
        while state.step < config.steps:
            first = state.step
            with Profiler(state.profile, default_phase="gradient") as profiler:
                for loss in round_losses(algorithm, batches, state, config):
                    lr = config.lr * schedule(state.step)
                    norm = optimizer_step(loss.mean, weights, optimizer, lr, config.clip)
                    loss.sum = loss.sum.detach()  # free the graph before the next one is built
                    state.step += 1
                    meter.add(state.step, loss, norm)
                    logger.advance()
            state.cost.add(profiler.counts, sum(state.profile.values()))
            validation_due = _is_due(first, state.step, config.steps, config.validations)
            log_due = validation_due or _is_due(first, state.step, config.steps, LOGS)
            # Checking every step would synchronize a GPU each time.
            if log_due or signals or norm.device.type == "cpu":
                checkpoints.check_finite(meter.worst)
            if log_due:
                seconds = {f"{name}_seconds": value for name, value in state.profile.items()}
                metrics = {**meter.means(state.cost), "lr": lr, **seconds}
                if validation_due:
                    metrics |= checkpoints.validate(validate, state)
                    algorithm.validated(metrics)
                logger.log(state.step, {**metrics, **asdict(state.cost)})
                meter = Meter(state.cost)
            if validation_due or signals:
                checkpoints.save(state)
            if signals:
                step = f"interrupted after step {state.step} of {config.steps}"
                raise Interrupted(
                    f"{step} ({checkpoints.phase}); saved in {checkpoints.last}", signals[0]
                )
    load_weights(policy, load_tensors(checkpoints.best)[0], checkpoints.best)
    return state


def round_losses(
    algorithm: Algorithm, batches: Batches, state: TrainerState, config: TrainConfig
) -> Iterator[Loss]:
    """The losses of one round, up to the end of the training; adds its batches to ``state``.

    Dropout uses torch's global generator, which is seeded at the start of each round, so that no
    generator state has to be saved.
    """
    clock, steps_left = Clock(config.seed, state.step, config.steps), config.steps - state.step
    size = min(algorithm.batches_per_round, steps_left)
    with phase("data"):
        group = [batches.at(state.batches + number).to(config.device) for number in range(size)]
    state.batches += size
    torch.manual_seed(derive_seed((config.seed, state.step), "dropout"))
    queries = algorithm.oracle.queries if algorithm.oracle else 0
    with precision(config.precision, config.device):
        updates, number = iterate_updates(algorithm, group, clock), 0
    while number < steps_left:
        with precision(config.precision, config.device):
            output = next(updates, END)
        if output is END:
            break
        loss = as_loss(algorithm, output, sum(batch.tokens for batch in group) // size)
        number += 1
        if number > UPDATES_PER_ROUND:
            raise UserError(
                f"{type(algorithm).__name__}.updates yields more than "
                f"{UPDATES_PER_ROUND} losses per round"
            )
        count("learned", loss.weight if loss.tokens is None else loss.tokens)
        if algorithm.oracle:
            queries, before = algorithm.oracle.queries, queries
            count("scored", queries - before)
        yield loss
    if not number:
        raise UserError(f"{loss_origin(algorithm)} no loss for a batch; a round needs at least one")


def optimizer_step(
    loss: Tensor,
    weights: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    lr: float,
    clip: float,
) -> Tensor:
    """One step on clipped gradients, skipped if the gradient is not finite.

    Gradients are freed afterwards: the next forward pass needs their memory.

    Returns:
        The gradient norm before clipping, a scalar.
    """
    optimizer.zero_grad(set_to_none=True)
    try:
        loss.backward()
    except RuntimeError as error:
        if not re.search("inplace operation|graph a second time", str(error)):
            raise
        raise UserError(
            "a loss depends on weights or a graph that the previous step has changed: "
            "updates must yield each loss before it computes the next one"
        ) from error
    norm = nn.utils.clip_grad_norm_(weights, clip)
    for group in optimizer.param_groups:
        group["lr"] = lr
    # A fused step does nothing where found_inf is set.
    optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def _is_due(before: int, after: int, steps: int, times: int) -> bool:
    """Whether one of ``times`` evenly spaced events falls in the steps (before, after]."""
    return after * times // steps > before * times // steps


class Meter:
    """Means of the metrics over some steps, and the throughput in learned tokens per second.

    Metrics on a GPU stay there until they are read.

    Attributes:
        worst: ``[3]``, step, loss and gradient norm of the first step whose norm is not finite; of
            the latest step while all norms are finite.
    """

    def __init__(self, cost: Cost) -> None:
        self.sums: dict[str, float | Tensor] = {}
        self.worst: Tensor | None = None
        self.steps, self.tokens, self.seconds = 0, cost.gradient_tokens, cost.seconds

    def add(self, step: int, loss: Loss, norm: Tensor) -> None:
        """Add one step."""
        value = loss.mean.detach()
        latest = torch.stack([torch.full_like(norm, step), value.to(norm), norm])
        if self.worst is not None:
            latest = torch.where(self.worst[2].isfinite(), latest, self.worst)
        self.worst = latest
        for name, metric in {"loss": value, **loss.metrics}.items():
            total = metric.detach().double() if isinstance(metric, Tensor) else metric
            self.sums[name] = self.sums.get(name, 0.0) + total
        self.steps += 1

    def means(self, cost: Cost) -> dict[str, float]:
        """The means since the meter was created; ``cost`` is that of the training so far."""
        means = {name: float(total) / self.steps for name, total in self.sums.items()}
        tokens, seconds = cost.gradient_tokens - self.tokens, cost.seconds - self.seconds
        return {**means, "tokens_per_second": tokens / seconds}
