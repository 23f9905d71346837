"""Where a training stands and what it has cost, as every checkpoint carries it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from textgen_env.errors import UserError


@dataclass
class Cost:
    """What a training has cost so far (`results.json`, "cost")."""

    student_tokens_decoded: int = 0
    teacher_tokens_scored: int = 0
    gradient_tokens: int = 0
    seconds: float = 0.0  # of the updates alone
    oracle_queries: int = 0  # tokens scored, and those of the demonstrations that were learned from
    validation_seconds: float = 0.0

    def add(self, counts: Mapping[str, int], seconds: float) -> None:
        """Add one round: its ``counts`` of decoded, scored and learned tokens; ``seconds`` are of all rounds so far."""
        self.student_tokens_decoded += counts.get("decoded", 0)
        self.teacher_tokens_scored += counts.get("scored", 0)
        self.oracle_queries += counts.get("scored", 0)
        self.gradient_tokens += counts.get("learned", 0)
        self.seconds = seconds


@dataclass
class Progress:
    """Where a training stands; saved with every checkpoint."""

    step: int = 0
    batches: int = 0  # taken by the algorithm so far
    best: float | None = None
    best_step: int = 0
    cost: Cost = field(default_factory=Cost)
    profile: dict[str, float] = field(
        default_factory=dict
    )  # seconds of the updates by phase; validation is not in it


def read_progress(saved: Any, steps: int, path: Path) -> Progress:
    """The ``Progress`` that the header of checkpoint ``path`` holds as JSON, checked field by field.

    Args:
        saved: what ``dataclasses.asdict`` made of it.
        steps: updates of the whole training.
        path: the checkpoint, for messages.

    Raises:
        UserError: a field is missing or unknown, or its value cannot be; names file and field.
    """
    values = _fields("progress", saved, Progress, path)
    cost = _fields("progress.cost", values["cost"], Cost, path)
    profile = values["profile"]
    if not isinstance(profile, dict):
        raise _wrong(path, "progress.profile", profile)
    counts = {f"progress.{name}": values[name] for name in ("step", "batches", "best_step")}
    numbers = {
        f"progress.{owner}.{name}": v
        for owner, of in (("cost", cost), ("profile", profile))
        for name, v in of.items()
    }
    for name, value in {**counts, **numbers}.items():
        whole = name in counts or isinstance(getattr(Cost, name.rpartition(".")[2], 0.0), int)
        if not _is_number(value, whole) or value < 0:
            raise _wrong(path, name, value)
    if not values["best_step"] <= values["step"] <= steps:
        raise UserError(
            f"{path}: progress.step is {values['step']}, best_step {values['best_step']}, of {steps} steps"
        )
    if values["best"] is not None and not _is_number(values["best"], whole=False):
        raise _wrong(path, "progress.best", values["best"])
    return Progress(**{**values, "cost": Cost(**cost)})


def _fields(name: str, saved: Any, kind: type, path: Path) -> dict[str, Any]:
    """``saved`` if it has the fields of the dataclass ``kind``."""
    if not isinstance(saved, dict):
        raise _wrong(path, name, saved)
    known = {each.name for each in fields(kind)}
    if different := sorted(known ^ saved.keys()):
        state = "missing" if different[0] in known else "unknown"
        raise UserError(
            f"{path}: {name}.{different[0]} is {state}; it is a checkpoint of another version"
        )
    return saved


def _is_number(value: Any, whole: bool) -> bool:
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)


def _wrong(path: Path, name: str, value: Any) -> UserError:
    return UserError(
        f"{path}: {name} is {str(value)[:40]!r}, which it cannot be; restore a copy of the file"
    )
