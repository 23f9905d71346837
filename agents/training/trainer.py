"""The training loop: batches → the algorithm's losses → optimizer steps.

Validation, logging and saving happen between rounds.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.random import fork_rng

from agents.algorithms.base import Algorithm, Loss, check_initialized
from agents.training.checkpoint import load_tensors, load_weights
from agents.training.config import TrainConfig
from agents.training.learning_rate import learning_rate
from agents.training.logger import Logger
from agents.training.rounds import run_round
from agents.training.saving import Checkpoints, Validate
from agents.training.signals import Interrupted, defer_signals
from agents.training.state import Cost, TrainerState
from agents.training.writers import open_writers
from textgen_env.data.batching import Batches
from textgen_env.profiler import Profiler
from textgen_env.terminal import console

LOGS = 100  # how often metrics are logged, evenly spaced over the training


def train_policy(
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
    parameters = chain(policy.parameters(), algorithm.parameters())
    weights = [weight for weight in parameters if weight.requires_grad]  # not an adapter's base
    groups = decay_groups(weights, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), eps=1e-9, fused=True)
    schedule = learning_rate(config.schedule, config.warmup, config.steps)
    state = checkpoints.open(
        policy, algorithm, optimizer, config.steps, validate if config.resume else None
    )
    policy.train()
    place = checkpoints.folder, checkpoints.phase, state.step
    if config.checkpointing:
        policy.checkpointing = True  # type: ignore[assignment]
    with (
        Logger(*place, config.steps, open_writers(config.loggers, *place)) as logger,
        defer_signals() as signals,
        fork_rng(),
    ):
        if config.validate_first and state.step == 0:
            state.validation_due, state.best = True, None
        if state.validation_due:  # also if a signal has ended it
            if metrics := _validate(algorithm, validate, checkpoints, state, signals):
                logger.log(state.step, {**metrics, **asdict(state.cost)})
            checkpoints.save(state)
            checkpoints.stop_on(signals, state)
        meter = Meter(state.cost)
        while state.step < config.steps and not state.exhausted(config.patience):
            first = state.step
            with Profiler(state.profile, default_phase="gradient") as profiler:
                for loss in run_round(algorithm, weights, batches, state, config):
                    lr = config.lr * schedule(state.step)
                    norm = optimizer_step(weights, optimizer, lr, config.clip)
                    algorithm.updated()
                    state.step += 1
                    meter.add(state.step, loss, norm)
                    logger.advance()
            state.cost.add(profiler.counts, sum(state.profile.values()))
            validation_due = _is_due(first, state.step, config.steps, config.validations)
            state.validation_due = validation_due
            log_due = validation_due or _is_due(first, state.step, config.steps, LOGS)
            # Checking every step would synchronize a GPU each time.
            if log_due or signals or norm.device.type == "cpu":
                checkpoints.check_finite(meter.worst)
            if log_due:
                seconds = {f"{name}_seconds": value for name, value in state.profile.items()}
                metrics = {**meter.means(state.cost), "lr": lr, **seconds}
                if validation_due:
                    metrics |= _validate(algorithm, validate, checkpoints, state, signals)
                logger.log(state.step, {**metrics, **asdict(state.cost)})
                meter = Meter(state.cost)
            if validation_due or signals:
                checkpoints.save(state)
            checkpoints.stop_on(signals, state)
    if state.step < config.steps:
        console.print(
            f"{checkpoints.phase}: stopped after step {state.step} of {config.steps}: no better "
            f"score in {config.patience} validations; the best is that of step {state.best_step}"
        )
    load_weights(policy, load_tensors(checkpoints.best)[0], checkpoints.best)
    return state


def decay_groups(weights: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Parameter groups for AdamW: matrices decay, vectors such as biases and norms do not."""
    matrices = [weight for weight in weights if weight.dim() > 1]
    others = [weight for weight in weights if weight.dim() <= 1]
    return [
        {"params": matrices, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]


def optimizer_step(
    weights: list[nn.Parameter], optimizer: torch.optim.Optimizer, lr: float, clip: float
) -> Tensor:
    """One step on clipped gradients, skipped if the gradient is not finite.

    Gradients are freed afterwards: the next forward pass needs their memory.

    Returns:
        The gradient norm before clipping, a scalar.
    """
    norm = nn.utils.clip_grad_norm_(weights, clip)
    for group in optimizer.param_groups:
        group["lr"] = lr
    # A fused step does nothing where found_inf is set.
    optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def _validate(
    algorithm: Algorithm,
    validate: Validate,
    checkpoints: Checkpoints,
    state: TrainerState,
    signals: list[int],
) -> dict[str, float]:
    """Validate, and tell the algorithm; a signal ends it, and it stays due for a resume."""
    if signals:
        return {}
    try:
        metrics = checkpoints.validate(validate, state)
    except Interrupted as error:
        signals.append(error.number)
        return {}
    state.validation_due = False
    algorithm.validated(metrics)
    return {**metrics, "validations_without_improvement": state.waited}


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
