"""The trainer's state, saved in every checkpoint: the step, the best score and the cost so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from textgen_env.data.schema import COUNT, MAYBE_NUMBER, SECONDS, check
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
        validation_due: whether the validation of ``step`` is still to be done.
        cost: tokens and seconds so far.
        profile: seconds of the updates by phase.
    """

    step: int = 0
    batches: int = 0
    best: float | None = None
    best_step: int = 0
    improved_step: int = 0
    waited: int = 0
    validation_due: bool = False
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


COST = {field.name: COUNT if field.type == "int" else SECONDS for field in fields(Cost)}
PROGRESS = {
    "step": COUNT,
    "batches": COUNT,
    "best": MAYBE_NUMBER,
    "best_step": COUNT,
    "improved_step": COUNT,
    "waited": COUNT,
    "validation_due?": bool,  # runs of earlier versions have none
    "cost": COST,
    "profile": {"*": SECONDS},
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
    try:
        check(saved, PROGRESS, "progress")
    except ValueError as error:
        raise UserError(
            f"{path}: {error}; restore the file from a backup, or use the version of this project "
            "that saved it"
        ) from error
    if not saved["best_step"] <= saved["step"] <= steps:
        raise UserError(
            f"{path}: progress.step is {saved['step']} and progress.best_step "
            f"{saved['best_step']}, but the training has {steps} steps"
        )
    return TrainerState(**{**saved, "cost": Cost(**saved["cost"])})
