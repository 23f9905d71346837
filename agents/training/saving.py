"""What a training saves, and what it resumes from: checked on the way out and on the way in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from agents.algorithms.base import Algorithm
from agents.training.checkpoint import (
    load_moments,
    load_state,
    load_tensors,
    load_weights,
    moments,
    not_finite,
    save_tensors,
    state_tensors,
)
from agents.training.progress import Progress, read_progress
from agents.training.unsaved import check_saved, unsaved
from textgen_env.data.files import CorruptFileError
from textgen_env.errors import UserError
from textgen_env.terminal import console

Validate = Callable[[], dict[str, float]]  # metrics; the first is the score, higher is better


class Checkpoints:
    """The checkpoints of a training: ``last.safetensors`` to resume from, ``best.safetensors`` to use.

    Args:
        folder: of the run.
        phase: "teacher" or "student", for messages.
        header: what describes the policy; kept in each checkpoint.
    """

    def __init__(self, folder: Path, phase: str, header: dict[str, Any]) -> None:
        self.folder, self.phase, self.header = folder, phase, header
        self.last, self.best = (
            folder / "checkpoints" / f"{name}.safetensors" for name in ("last", "best")
        )
        self.saved = 0  # step of the last good state

    def open(
        self,
        policy: nn.Module,
        algorithm: Algorithm,
        optimizer: torch.optim.Optimizer,
        steps: int,
        validate: Validate | None,
    ) -> Progress:
        """Take charge of a training, and resume it from ``last`` where there is one and ``validate`` is given.

        Args:
            policy: the student.
            algorithm: its own state is saved with the policy.
            optimizer: of both.
            steps: of the whole training.
            validate: evaluates the policy where ``best`` is gone; None: start anew.

        Returns:
            Where the training stands.

        Raises:
            UserError: ``last`` is damaged, or of another training.
        """
        self.policy, self.algorithm, self.optimizer = policy, algorithm, optimizer
        state_tensors(algorithm)  # what cannot be saved is said at once
        state = self._restore(steps, validate) if validate else Progress()
        self._beside = unsaved(algorithm, policy)
        return state

    def save(self, state: Progress) -> None:
        """Save ``last``, then ``best`` if this step is the best: a run killed in between restores ``best`` from ``last``."""
        self._check_weights(state.step)
        check_saved(self.algorithm, self.policy, self._beside)
        if not self.folder.is_dir():
            raise UserError(
                f"{self.folder} is gone: it was deleted during the training, which cannot be saved"
            )
        parts = {"policy": self.policy.state_dict(), "algorithm": state_tensors(self.algorithm)}
        tensors = {
            f"{owner}.{name}": tensor
            for owner, part in parts.items()
            for name, tensor in part.items()
        }
        save_tensors(
            self.last, tensors | moments(self.optimizer), {**self.header, "progress": asdict(state)}
        )
        self.saved = state.step
        if state.best_step == state.step:
            self._save_best(state)

    def _save_best(self, state: Progress) -> None:
        save_tensors(
            self.best,
            self.policy.state_dict(),
            {**self.header, "step": state.best_step, "score": state.best},
        )

    def _restore(self, steps: int, validate: Validate) -> Progress:
        """The state in ``last``, or a fresh one where there is none. UserError where it is not of this training."""
        if not self.last.exists():
            if self.best.exists():
                console.print(
                    f"{self.phase}: {self.last} is gone: training starts again",
                    markup=False,
                    soft_wrap=True,
                )
            return Progress()
        try:
            tensors, saved = load_tensors(self.last)
        except CorruptFileError as error:
            raise UserError(
                f"{error}: restore a copy; or delete it, and resume=true trains from the start"
            ) from error
        progress = saved.pop("progress", None)
        if progress is None or saved != self.header:
            names = sorted(
                key
                for key in saved.keys() | self.header.keys()
                if saved.get(key) != self.header.get(key)
            )
            different = ", ".join(names) or "no progress"
            raise UserError(
                f"{self.last} belongs to another run: {different} differ; choose another out="
            )
        state = read_progress(progress, steps, self.last)
        load_weights(self.policy, _part("policy.", tensors), self.last)
        load_state(self.algorithm, _part("algorithm.", tensors), self.last)
        rest = {
            name: tensor
            for name, tensor in tensors.items()
            if not name.startswith(("policy.", "algorithm."))
        }
        load_moments(self.optimizer, rest, self.last)
        self.saved = state.step
        self._restore_best(state, validate)
        return state

    def _restore_best(self, state: Progress, validate: Validate) -> None:
        """See that ``best`` holds the weights that ``state`` says; where it is gone, those of ``last`` take its place."""
        if state.best is None:
            return
        if self.best.exists():
            try:
                header = load_tensors(self.best)[1]
            except CorruptFileError as error:
                instead = f"delete it, and resume=true evaluates the weights of step {state.step} in its place"
                raise UserError(f"{error}: restore a copy; or {instead}") from error
            if header.get("step") == state.best_step:
                return
        if state.best_step != state.step:
            console.print(
                f"{self.phase}: the best checkpoint, of step {state.best_step}, is gone; "
                f"the weights of step {state.step} are evaluated and take its place"
            )
            state.best = None
            self.validate(validate, state)
        self._save_best(state)

    def validate(self, validate: Validate, state: Progress) -> dict[str, float]:
        """Metrics of the policy as it is; ``state`` remembers the best. UserError where weights or metrics are not finite."""
        self._check_weights(state.step)
        began = time.perf_counter()
        metrics = validate()
        state.cost.validation_seconds += time.perf_counter() - began
        if not all(map(math.isfinite, metrics.values())):
            raise self._stopped(f"validation after step {state.step}: {metrics}")
        score = next(iter(metrics.values()))
        if (
            state.best is None or score >= state.best
        ):  # of equals the later: at the top of the scale the loss still falls
            state.best, state.best_step = score, state.step
        return metrics

    def check_finite(self, worst: Tensor | None) -> None:
        """Stop a training whose loss or gradient is not finite; on a GPU some steps later, before they are saved.

        Args:
            worst: ``[3]``, of the worst step its number, loss and gradient norm.

        Raises:
            UserError: the norm is not finite; says so of the weights too, and since when.
        """
        assert worst is not None
        step, loss, norm = worst.tolist()
        if not math.isfinite(norm):
            name = self._not_finite()
            why = (
                f": the weights of {name} are NaN or infinite since step {step - 1:.0f}"
                if name
                else ""
            )
            raise self._stopped(
                f"step {step:.0f}: the loss is {loss:.4g}, its gradient norm {norm:.4g}{why}"
            )

    def _check_weights(self, step: int) -> None:
        if name := self._not_finite():
            since = f"{step}, the last good step known is {self.saved}"
            raise self._stopped(f"the weights of {name} are NaN or infinite at step {since}")

    def _not_finite(self) -> str:
        algorithm = {
            f"algorithm.{name}": tensor for name, tensor in state_tensors(self.algorithm).items()
        }
        return not_finite({**self.policy.state_dict(), **algorithm, **moments(self.optimizer)})

    def _stopped(self, why: str) -> UserError:
        kept = (
            f"{self.last} holds the last good state"
            if self.last.exists()
            else "no checkpoint was due yet"
        )
        return UserError(
            f"{why}; stopped: {kept}; lower train.lr or train.clip and start again, or continue from there with resume=true"
        )


def _part(owner: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(owner): tensor
        for name, tensor in tensors.items()
        if name.startswith(owner)
    }
