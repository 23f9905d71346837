"""The trainer's state, saved in every checkpoint: the step, the best score and the cost so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from textgen_env.errors import UserError


@dataclass
class Cost:
    """What a training has cost so far (``results.json``, "cost").

    Attributes:
        student_tokens_decoded: tokens that the student generated.
        teacher_tokens_scored: tokens at which the oracle was queried.
        gradient_tokens: tokens in the losses.
        seconds: time of the updates, without validation.
        oracle_queries: tokens scored, plus those of the demonstrations in the training set.
        validation_seconds: time of the validations.
    """

    student_tokens_decoded: int = 0
    teacher_tokens_scored: int = 0
    gradient_tokens: int = 0
    seconds: float = 0.0
    oracle_queries: int = 0
    validation_seconds: float = 0.0

    def add(self, counts: Mapping[str, int], seconds: float) -> None:
        """Add the token ``counts`` of one round; ``seconds`` is the total over all rounds."""
        self.student_tokens_decoded += counts.get("decoded", 0)
        self.teacher_tokens_scored += counts.get("scored", 0)
        self.oracle_queries += counts.get("scored", 0)
        self.gradient_tokens += counts.get("learned", 0)
        self.seconds = seconds


@dataclass
class TrainerState:
    """Where a training is.

    Attributes:
        step: optimizer steps done.
        batches: batches that the algorithm has used.
        best: best validation score; None before the first validation.
        best_step: the step of ``best``; of equal scores the later one.
        improved_step: the step at which ``best`` was reached first.
        waited: validations since then.
        cost: tokens and seconds so far.
        profile: seconds of the updates by phase.
    """

    step: int = 0
    batches: int = 0
    best: float | None = None
    best_step: int = 0
    improved_step: int = 0
    waited: int = 0
    cost: Cost = field(default_factory=Cost)
    profile: dict[str, float] = field(default_factory=dict)

    def exhausted(self, patience: int | None) -> bool:
        """Whether ``patience`` validations have brought no improvement; None: unlimited."""
        return patience is not None and self.waited >= patience

    def summary(self, patience: int | None) -> dict[str, Any]:
        """How far the training went and why it ended (``results.json``, "training")."""
        return {
            "steps": self.step,
            "best_step": self.best_step,
            "improved_step": self.improved_step,
            "stopped": "patience" if self.exhausted(patience) else "steps",
        }


def read_trainer_state(saved: Any, steps: int, path: Path) -> TrainerState:
    """Restore a ``TrainerState`` from the header of a checkpoint, checking every field.

    Args:
        saved: the JSON value that ``dataclasses.asdict`` became.
        steps: steps of the whole training.
        path: the checkpoint, named in errors.

    Raises:
        UserError: a field is missing or unknown, or has an invalid value.
    """
    values = _check_fields("progress", saved, TrainerState, path)
    cost = _check_fields("progress.cost", values["cost"], Cost, path)
    profile = values["profile"]
    if not isinstance(profile, dict):
        raise _invalid(path, "progress.profile", profile)
    names = ("step", "batches", "best_step", "improved_step", "waited")
    counts = {f"progress.{name}": values[name] for name in names}
    numbers = {f"progress.cost.{name}": value for name, value in cost.items()}
    numbers |= {f"progress.profile.{name}": value for name, value in profile.items()}
    for name, value in {**counts, **numbers}.items():
        integer = name in counts or isinstance(getattr(Cost, name.rpartition(".")[2], 0.0), int)
        if not _is_number(value, integer) or value < 0:
            raise _invalid(path, name, value)
    if not values["best_step"] <= values["step"] <= steps:
        raise UserError(
            f"{path}: progress.step is {values['step']} and progress.best_step "
            f"{values['best_step']}, but the training has {steps} steps"
        )
    if values["best"] is not None and not _is_number(values["best"], integer=False):
        raise _invalid(path, "progress.best", values["best"])
    return TrainerState(**{**values, "cost": Cost(**cost)})


def _check_fields(name: str, saved: Any, dataclass: type, path: Path) -> dict[str, Any]:
    """``saved``, if it has exactly the fields of ``dataclass``."""
    if not isinstance(saved, dict):
        raise _invalid(path, name, saved)
    expected = {attribute.name for attribute in fields(dataclass)}
    if different := sorted(expected ^ saved.keys()):
        problem = "missing" if different[0] in expected else "unknown"
        raise UserError(
            f"{path}: {name}.{different[0]} is {problem}; "
            "the checkpoint is from another version of this project"
        )
    return saved


def _is_number(value: Any, integer: bool) -> bool:
    types = (int,) if integer else (int, float)
    return isinstance(value, types) and not isinstance(value, bool) and math.isfinite(value)


def _invalid(path: Path, name: str, value: Any) -> UserError:
    return UserError(
        f"{path}: {name} has the invalid value {str(value)[:40]!r}; restore the file from a backup"
    )
