"""The one training loop: batch → algorithm.loss → step; validate, log and save between steps."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from agents.algorithms import Algorithm, LossOutput, checked
from agents.precision import precision
from agents.training.checkpoint import load_tensors, load_weights
from agents.training.learning_rate import learning_rate
from agents.training.logger import Journal
from agents.training.progress import Cost, Progress
from agents.training.saving import Checkpoints, Validate
from agents.training.signals import deferred
from textgen_env.data.batching import Batches
from textgen_env.profiler import Clock

__all__ = ["Cost", "Interrupted", "Meter", "Progress", "train"]

LOGGED = 100  # times that the means of the steps since are logged


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or SIGHUP: what can be saved is saved, and the message says how to continue.  number: the signal's."""

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number


def train(
    algorithm: Algorithm,
    policy: nn.Module,
    batches: Batches,
    validate: Validate,
    *,
    folder: Path,
    phase: str,
    header: dict[str, Any],
    generators: dict[str, torch.Generator],
    steps: int,
    lr: float,
    schedule: str,
    warmup: int,
    clip: float,
    validations: int,
    amp: str,
    device: str,
    resume: bool,
    validate_first: bool = False,
) -> Progress:
    """Train ``policy`` for ``steps`` updates; afterwards it holds the weights of the best validation.

    validate: called between steps, returns figures named ``valid_…``; the first is the score, higher is better.
    header: what describes the policy, kept in each checkpoint.  generators: every source of randomness, saved and
    restored.  validations: how many, evenly spaced, the last after the last update; each also saves
    ``checkpoints/last.safetensors``.  resume: continue from that file if there is one; the weights at the end are the
    same to the bit, on as many threads and decoding workers and with the same oracle.  validate_first: validate before
    the first update too, so that the best weights are never worse than those that the training starts from.
    """
    weights = [*policy.parameters(), *algorithm.parameters()]
    optimizer = torch.optim.Adam(weights, lr=lr, betas=(0.9, 0.98), eps=1e-9, fused=True)
    rate = learning_rate(schedule, warmup, steps)
    files = Checkpoints(folder, phase, policy, algorithm, optimizer, generators, header)
    state = files.restore(steps, validate) if resume else Progress()
    policy.train()
    with Journal(folder, phase, state.step, steps) as journal, deferred() as received:
        if validate_first and state.step == 0:
            metrics = files.validate(validate, state)
            journal.write(0, {**metrics, **asdict(state.cost)})
            files.save(state)
        meter = Meter(state.cost.seconds)
        for step in range(state.step, steps):
            with Clock(state.profile, rest="gradient") as clock:
                with clock.phase("data"):
                    ahead = _ahead(step, steps, algorithm.group)
                    batch, *others = [batches.at(each).to(device) for each in (step, *ahead)]
                with precision(amp, device):
                    if ahead:
                        algorithm.look_ahead([batch, *others], [each / steps for each in (step, *ahead)])
                    output = checked(algorithm, algorithm.loss(batch, progress=step / steps))
                norm = _update(output.loss, weights, optimizer, lr * rate(step), clip)
                output.loss = output.loss.detach()
                meter.add(step + 1, output, norm)
                due = _passed(step, steps, validations)
                logged = due or _passed(step, steps, LOGGED)
                if logged or received or norm.device.type == "cpu":  # a GPU is not waited for at every step
                    files.check_finite(meter.worst)
            state.step = step + 1
            state.cost.add(output, sum(state.profile.values()))
            journal.advance()
            if logged:
                spent = {f"{name}_seconds": seconds for name, seconds in state.profile.items()}
                figures = {**meter.read(state.cost.seconds), "lr": lr * rate(step), **spent}
                if due:
                    figures |= files.validate(validate, state)
                journal.write(state.step, {**figures, **asdict(state.cost)})
                meter = Meter(state.cost.seconds)
            stop = bool(received)
            if due or stop:
                files.save(state)
            if stop:
                raise Interrupted(
                    f"interrupted after step {state.step} of {steps} ({phase}); saved in {files.last}", received[0]
                )
    load_weights(policy, load_tensors(files.best)[0], files.best)
    return state


def _ahead(step: int, steps: int, group: int) -> range:
    """The updates after ``step`` whose batches are looked at now."""
    return range(step + 1, min(step + group, steps)) if step % group == 0 else range(0)


def _passed(step: int, steps: int, times: int) -> bool:
    """Whether update ``step`` completes one of ``times`` equal parts of the training."""
    return (step + 1) * times // steps > step * times // steps


def _update(loss: Tensor, weights: list[nn.Parameter], optimizer: torch.optim.Optimizer, lr: float, clip: float) -> Tensor:
    """One clipped gradient step, left out where the gradient is not finite; gives the gradient's norm before the clipping.

    Its gradients are dropped at once, as its graph should be: left where they are, they would cut up the memory that the next
    step takes, and the heap would grow.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(weights, clip)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]  # a fused step looks at it where it is
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


class Meter:
    """Means of a stretch of steps, and its speed in target tokens a second.  Figures on a GPU stay there until they are read.

    The speed is that of the updates: validation, logging and saving are not in it.
    seconds: of all updates before.
    worst ``[3]``: number, loss and gradient norm of the first step whose norm is not finite, or else of the last.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.sums: dict[str, float | Tensor] = {}
        self.worst: Tensor | None = None
        self.steps, self.tokens, self.began = 0, 0, seconds

    def add(self, step: int, output: LossOutput, norm: Tensor) -> None:
        """Count one step."""
        loss = output.loss.detach()
        now = torch.stack([torch.full_like(norm, step), loss.to(norm), norm])
        self.worst = now if self.worst is None else torch.where(self.worst[2].isfinite(), now, self.worst)
        for name, value in {"loss": loss, **output.figures}.items():
            self.sums[name] = self.sums.get(name, 0.0) + (value.detach().double() if isinstance(value, Tensor) else value)
        self.steps += 1
        self.tokens += output.tokens

    def read(self, seconds: float) -> dict[str, float]:
        """The means so far; ``seconds``: of all updates until now."""
        means = {name: float(total) / self.steps for name, total in self.sums.items()}
        means["tokens_per_second"] = self.tokens / (seconds - self.began)
        return means
