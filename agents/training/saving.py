"""Saves a training's checkpoints and resumes from them; both directions are checked."""

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
    first_nonfinite,
    load_header,
    load_optimizer,
    load_state,
    load_tensors,
    load_weights,
    optimizer_tensors,
    save_tensors,
    state_tensors,
)
from agents.training.signals import Interrupted, handle_signals, raise_interrupted
from agents.training.state import TrainerState, read_trainer_state
from agents.training.unsaved import check_unsaved_state, unsaved_state
from textgen_env.data.files import CorruptFileError
from textgen_env.data.schema import MAX_NUMBER
from textgen_env.errors import UserError
from textgen_env.terminal import console

LAST = Path("checkpoints", "last.safetensors")
LOST = "restore it from a backup; or delete it, then resume=true trains from the start"
BEST_KEYS = ("step", "score")  # what the header of ``best`` adds
Validate = Callable[[], dict[str, float]]  # metrics; the first one is the score, higher is better


class Checkpoints:
    """The checkpoints of a training: ``last.safetensors`` to resume from, and ``best.safetensors``.

    Args:
        folder: the run folder.
        phase: "teacher" or "student", used in messages.
        header: describes the policy; saved in each checkpoint.
    """

    def __init__(self, folder: Path, phase: str, header: dict[str, Any]) -> None:
        self.folder, self.phase, self.header = folder, phase, header
        self.last = folder / LAST
        self.best = folder / "checkpoints" / "best.safetensors"
        self.saved_step = 0

    def open(
        self,
        policy: nn.Module,
        algorithm: Algorithm,
        optimizer: torch.optim.Optimizer,
        steps: int,
        validate: Validate | None,
    ) -> TrainerState:
        """Start saving a training; resume it if ``validate`` is given and ``last`` exists.

        Args:
            policy: the student.
            algorithm: its own state is saved with the policy.
            optimizer: updates the weights of both.
            steps: steps of the whole training.
            validate: evaluates the policy if ``best`` is missing; None to start from step 0.

        Returns:
            The state to continue from.

        Raises:
            UserError: ``last`` is corrupted, or belongs to a different training.
        """
        self.policy, self.algorithm, self.optimizer = policy, algorithm, optimizer
        self.steps = steps
        state_tensors(algorithm)  # raises now, before the training, if it cannot be saved
        state = self._restore(steps, validate) if validate else TrainerState()
        self._unsaved = unsaved_state(algorithm, policy)
        return state

    def save(self, state: TrainerState) -> None:
        """Save ``last``, then ``best`` if this step is the best.

        A run that is killed between the two restores ``best`` from ``last``.
        """
        self._check_weights(state.step)
        check_unsaved_state(self.algorithm, self.policy, self._unsaved)
        if not self.folder.is_dir():
            raise UserError(f"{self.folder} was deleted during the training; cannot save it")
        save_tensors(self.last, self._tensors(), {**self.header, "progress": asdict(state)})
        self.saved_step = state.step
        if state.best_step == state.step:
            self._save_best(state)

    def _tensors(self) -> dict[str, Tensor]:
        """What ``last`` holds: the state of the policy, the algorithm and the optimizer."""
        states = {"policy": self.policy.state_dict(), "algorithm": state_tensors(self.algorithm)}
        tensors = optimizer_tensors(self.optimizer)
        for owner, state in states.items():
            tensors |= {f"{owner}.{name}": tensor for name, tensor in state.items()}
        return tensors

    def _save_best(self, state: TrainerState) -> None:
        header = {**self.header, "step": state.best_step, "score": state.best}
        save_tensors(self.best, self.policy.state_dict(), header)

    def _restore(self, steps: int, validate: Validate) -> TrainerState:
        """Load ``last`` and return its state; a fresh state if there is no such file."""
        if not self.last.exists():
            if self.best.exists():
                message = f"{self.phase}: {self.last} is missing: training starts again"
                console.print(message, markup=False, soft_wrap=True)
            return TrainerState()
        try:
            tensors, header = load_tensors(self.last)
        except CorruptFileError as error:
            raise UserError(f"{error}: {LOST}") from error
        saved = header.pop("progress", None)
        self._check_header(header, self.last)
        state = read_trainer_state(saved, steps, self.last)
        load_weights(self.policy, _take("policy.", tensors), self.last)
        load_state(self.algorithm, _take("algorithm.", tensors), self.last)
        load_optimizer(self.optimizer, tensors, self.last)
        self.saved_step = state.step
        self._restore_best(state, validate)
        return state

    def _check_header(self, header: dict[str, Any], path: Path) -> None:
        """UserError unless ``header`` describes the policy and the data of this training."""
        names = header.keys() | self.header.keys()
        if different := sorted(key for key in names if header.get(key) != self.header.get(key)):
            raise UserError(
                f"{path} belongs to a different run (differs in {', '.join(different)}); "
                "choose another out="
            )

    def _restore_best(self, state: TrainerState, validate: Validate) -> None:
        """Check that ``best`` has step ``best_step``; if not, save the current weights as best."""
        if state.best is None:
            return
        if self.best.exists():
            try:
                header = load_tensors(self.best)[1]
            except CorruptFileError as error:
                raise UserError(
                    f"{error}: restore it from a backup; or delete it, "
                    f"then resume=true evaluates the weights of step {state.step} instead"
                ) from error
            if header.get("step") == state.best_step:
                own = {key: value for key, value in header.items() if key not in BEST_KEYS}
                self._check_header(own, self.best)
                return
        if state.best_step != state.step:
            console.print(
                f"{self.phase}: the best checkpoint (step {state.best_step}) is missing; "
                f"the weights of step {state.step} are evaluated and replace it"
            )
            state.best = None
            self.validate(validate, state)
        self._save_best(state)

    def validate(self, validate: Validate, state: TrainerState) -> dict[str, float]:
        """Evaluate the policy and record the best score in ``state``.

        Returns:
            The metrics of ``validate``.

        Raises:
            UserError: a weight or a metric is not finite.
            Interrupted: a signal arrived; ``state`` is unchanged.
        """
        self._check_weights(state.step)
        start = time.perf_counter()
        with handle_signals(raise_interrupted):  # it changes nothing, so it may end anywhere
            metrics = validate()
        state.cost.validation_seconds += time.perf_counter() - start
        if not all(map(math.isfinite, metrics.values())):
            raise self._stopped(f"validation after step {state.step}: {metrics}")
        score = next(iter(metrics.values()))
        state.waited += 1
        if state.best is None or score > state.best:
            state.improved_step, state.waited = state.step, 0
        # Ties go to the later step: at the top of the scale the loss still decreases.
        if state.best is None or score >= state.best:
            state.best, state.best_step = score, state.step
        return metrics

    def stop_on(self, signals: list[int], state: TrainerState) -> None:
        """Raise ``Interrupted`` if a signal has arrived; ``state`` is saved."""
        if signals:
            step = f"interrupted after step {state.step} of {self.steps}"
            raise Interrupted(f"{step} ({self.phase}); saved in {self.last}", signals[0])

    def check_finite(self, worst: Tensor | None) -> None:
        """Stop a training whose loss or gradient is not finite.

        Args:
            worst: ``[3]``, step, loss and gradient norm of the step that ``Meter`` keeps.

        Raises:
            UserError: the norm is not finite; the message also names a weight that is not.
        """
        assert worst is not None
        step, loss, norm = worst.tolist()
        if not math.isfinite(norm):
            name = self._first_nonfinite()
            since = f": {name} is NaN or infinite since step {step - 1:.0f}" if name else ""
            raise self._stopped(
                f"step {step:.0f}: the loss is {loss:.4g}, its gradient norm {norm:.4g}{since}"
            )

    def _check_weights(self, step: int) -> None:
        if name := self._first_nonfinite():
            raise self._stopped(
                f"{name} is NaN or infinite at step {step} (last saved step: {self.saved_step})"
            )

    def _first_nonfinite(self) -> str:
        return first_nonfinite(self._tensors()).removeprefix("policy.")

    def _stopped(self, reason: str) -> UserError:
        restart = "lower train.lr or train.clip and start again"
        if not self.last.exists():
            return UserError(f"{reason}; stopped before the first checkpoint; {restart}")
        return UserError(
            f"{reason}; stopped: {self.last} holds the last finite state; "
            f"{restart}, or continue from it with resume=true"
        )


def saved_step(folder: Path) -> int:
    """The step of the last checkpoint in a run folder; 0 if there is none.

    Raises:
        UserError: the checkpoint is corrupted.
    """
    path = folder / LAST
    if not path.exists():
        return 0
    try:
        progress = load_header(path).get("progress")
    except CorruptFileError as error:
        raise UserError(f"{error}: {LOST}") from error
    return read_trainer_state(progress, MAX_NUMBER, path).step


def _take(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the tensors with this prefix from ``tensors``; return them without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}
