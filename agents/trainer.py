"""The one training loop: batch → algorithm.loss → step; validate, log and save between steps."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from agents.algorithms import Algorithm, LossOutput, checked
from agents.checkpoint import load_tensors, load_weights, pack, save_tensors, unpack
from agents.fast import precision
from agents.heap import use_huge_pages
from agents.journal import Journal
from agents.schedules import learning_rate
from textgen_env.batching import Batches
from textgen_env.clock import Clock
from textgen_env.errors import UserError

Validate = Callable[[], dict[str, float]]
LOGGED = 100  # times that the means of the steps since are logged


class Interrupted(Exception):
    """Ctrl-C: the state is saved and the run can go on."""


@dataclass
class Cost:
    """The axes on which every algorithm is booked (`results.json`, "cost")."""

    student_tokens_decoded: int = 0
    teacher_tokens_scored: int = 0
    gradient_tokens: int = 0
    seconds: float = 0.0
    oracle_queries: int = 0  # tokens scored, and those of the demonstrations that were learned from

    def add(self, output: LossOutput, seconds: float) -> None:
        """Book one step; ``seconds``: of all so far."""
        self.student_tokens_decoded += output.decoded
        self.teacher_tokens_scored += output.scored
        self.gradient_tokens += output.tokens
        self.oracle_queries += output.scored
        self.seconds = seconds


@dataclass
class Progress:
    """Where a training stands; saved with every checkpoint."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    cost: Cost = field(default_factory=Cost)
    profile: dict[str, float] = field(default_factory=dict)  # seconds of the updates by phase; validation is not in it


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
) -> Progress:
    """Train ``policy`` for ``steps`` updates; afterwards it holds the weights of the best validation.

    validate: called between steps, returns figures named ``valid_…``; the first is the score, higher is better.
    header: what describes the policy, kept in each checkpoint.  generators: every source of randomness, saved and
    restored.  validations: how many, evenly spaced, the last after the last update; each also saves
    ``checkpoints/last.safetensors``.  resume: continue from that file if there is one; the weights at the end are the
    same to the bit, on as many threads and decoding workers and with the same oracle.
    """
    last, best = folder / "checkpoints" / "last.safetensors", folder / "checkpoints" / "best.safetensors"
    weights = [*policy.parameters(), *algorithm.parameters()]
    optimiser = torch.optim.Adam(weights, lr=lr, betas=(0.9, 0.98), eps=1e-9, fused=True)
    rate = learning_rate(schedule, warmup, steps)
    state = _restore(last, policy, algorithm, optimiser, generators, header) if resume and last.exists() else Progress()
    policy.train()
    with Journal(folder, phase, state.step, steps) as journal, _interruptible() as interrupted:
        meter = Meter()
        for step in range(state.step, steps):
            with Clock(state.profile, rest="gradient") as clock:
                with clock.phase("data"):
                    ahead = _ahead(step, steps, algorithm.group)
                    batch, *others = [batches.at(each).to(device) for each in (step, *ahead)]
                with precision(amp, device):
                    if ahead:
                        algorithm.look_ahead([batch, *others], [each / steps for each in (step, *ahead)])
                    output = checked(algorithm, algorithm.loss(batch, progress=step / steps))
                norm = _update(output.loss, weights, optimiser, lr * rate(step), clip)
                output.loss = output.loss.detach()
                meter.add(step + 1, output, norm)
                due, stop = _passed(step, steps, validations), interrupted()
                logged = due or _passed(step, steps, LOGGED)
                if logged or stop or norm.device.type == "cpu":  # a GPU is not waited for at every step
                    _check_finite(meter, last)
            state.step = step + 1
            state.cost.add(output, sum(state.profile.values()))
            journal.advance()
            use_huge_pages()
            if logged:
                spent = {f"{name}_seconds": seconds for name, seconds in state.profile.items()}
                figures = {**meter.read(), "lr": lr * rate(step), **asdict(state.cost), **spent}
                if due:
                    figures |= _validate(validate, policy, state, last, best, header)
                journal.write(state.step, figures)
                meter = Meter()
            if due or stop:
                tensors = _prefixed("policy", policy.state_dict()) | _prefixed("algorithm", algorithm.state_dict())
                save_tensors(last, tensors | pack(optimiser, generators), {**header, "progress": asdict(state)})
            if stop and state.step < steps:
                raise Interrupted(f"interrupted after step {state.step} of {steps} ({phase}); saved in {last}")
    load_weights(policy, load_tensors(best)[0], best)
    return state


def _ahead(step: int, steps: int, group: int) -> range:
    """The updates after ``step`` whose batches are looked at now."""
    return range(step + 1, min(step + group, steps)) if step % group == 0 else range(0)


def _passed(step: int, steps: int, times: int) -> bool:
    """Whether update ``step`` completes one of ``times`` equal parts of the training."""
    return (step + 1) * times // steps > step * times // steps


def _update(loss: Tensor, weights: list[nn.Parameter], optimiser: torch.optim.Optimizer, lr: float, clip: float) -> Tensor:
    """One clipped gradient step, left out where the gradient is not finite; gives the gradient's norm before the clipping.

    Its gradients are dropped at once, as its graph should be: left where they are, they would cut up the memory that the next
    step takes, and the heap would grow.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(weights, clip)
    for group in optimiser.param_groups:
        group["lr"] = lr
    optimiser.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]  # a fused step looks at it where it is
    optimiser.step()
    increment_version(weights)  # a fused step does not, and copies of weights are told by their versions
    optimiser.zero_grad(set_to_none=True)
    return norm


def _check_finite(meter: Meter, last: Path) -> None:
    """A loss or gradient that is not finite stops the training; on a GPU some steps later, before they are saved."""
    assert meter.worst is not None
    step, loss, norm = meter.worst.tolist()
    if not math.isfinite(norm):
        kept = f"{last} holds the last good state" if last.exists() else "no checkpoint was due yet"
        raise UserError(
            f"step {step:.0f}: the loss is {loss:.4g}, its gradient norm {norm:.4g}; stopped: {kept}; "
            "lower train.lr or train.clip and start again, or continue from there with resume=true"
        )


def _validate(
    validate: Validate, policy: nn.Module, state: Progress, last: Path, best: Path, header: dict[str, Any]
) -> dict[str, float]:
    figures = validate()
    if not all(map(math.isfinite, figures.values())):
        kept = f"{last} holds the last good state" if last.exists() else "no checkpoint was due yet"
        raise UserError(f"validation after step {state.step}: {figures}; stopped: {kept}; lower train.lr or train.clip")
    score = next(iter(figures.values()))
    if state.best is None or score >= state.best:  # of equals the later: at the top of the scale the loss still falls
        state.best, state.best_step = score, state.step
        save_tensors(best, policy.state_dict(), {**header, "step": state.step, "score": score})
    return figures


def _restore(
    last: Path,
    policy: nn.Module,
    algorithm: Algorithm,
    optimiser: torch.optim.Optimizer,
    generators: dict[str, torch.Generator],
    header: dict[str, Any],
) -> Progress:
    tensors, saved = load_tensors(last)
    progress = saved.pop("progress", None)
    if progress is None or saved != header:
        different = sorted(key for key in saved.keys() | header.keys() if saved.get(key) != header.get(key))
        raise UserError(f"{last} belongs to another run: {', '.join(different) or 'no progress'} differ; choose another out=")
    load_weights(policy, _part("policy", tensors), last)
    algorithm.load_state_dict(_part("algorithm", tensors))
    unpack(tensors, optimiser, generators)
    return Progress(**{**progress, "cost": Cost(**progress["cost"])})


def _prefixed(owner: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{owner}.{name}": tensor for name, tensor in tensors.items()}


def _part(owner: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What ``_prefixed`` named."""
    return {name.removeprefix(f"{owner}."): tensor for name, tensor in tensors.items() if name.startswith(f"{owner}.")}


class Meter:
    """Means of a stretch of steps, and its speed in target tokens a second.  Figures on a GPU stay there until they are read.

    worst ``[3]``: number, loss and gradient norm of the first step whose norm is not finite, or else of the last.
    """

    def __init__(self) -> None:
        self.sums: dict[str, float | Tensor] = {}
        self.worst: Tensor | None = None
        self.steps, self.tokens, self.began = 0, 0, time.perf_counter()

    def add(self, step: int, output: LossOutput, norm: Tensor) -> None:
        """Count one step."""
        loss = output.loss.detach()
        now = torch.stack([torch.full_like(norm, step), loss.to(norm), norm])
        self.worst = now if self.worst is None else torch.where(self.worst[2].isfinite(), now, self.worst)
        for name, value in {"loss": loss, **output.figures}.items():
            self.sums[name] = self.sums.get(name, 0.0) + (value.detach().double() if isinstance(value, Tensor) else value)
        self.steps += 1
        self.tokens += output.tokens

    def read(self) -> dict[str, float]:
        """The means so far."""
        means = {name: float(total) / self.steps for name, total in self.sums.items()}
        means["tokens_per_second"] = self.tokens / (time.perf_counter() - self.began)
        return means


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C only sets a flag, so that a step is never torn; a second one stops at once."""
    pressed: list[int] = []

    def press(number: int, frame: object) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
