"""What the steps of a command pass on to each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from agents.runs.machine import Machine
from agents.runs.teacher import Teacher
from textgen_env.tasks.task import Task


@dataclass(frozen=True)
class Run:
    """A run: its settings, and what they stand for.

    Args:
        folder: where it is saved.
        config: every key of ``dagger.py``.
        machine: where it computes.
        task: the corpus in tokens, with its limits and metric.
        teacher: who is imitated.
        student: the policy that learns; in a reopened run the best one, in evaluation mode.
    """

    folder: Path
    config: DictConfig
    machine: Machine
    task: Task
    teacher: Teacher
    student: Any
