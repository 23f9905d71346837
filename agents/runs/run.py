"""A run: what the steps of a command pass on to each other."""

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
    """The settings of a run and the objects built from them.

    Attributes:
        folder: the run folder.
        config: every key of ``dagger.py``.
        machine: precision and device.
        task: the task, with its tokenized corpus.
        teacher: the expert to imitate.
        student: the policy; in a loaded run the best one, in evaluation mode.
    """

    folder: Path
    config: DictConfig
    machine: Machine
    task: Task
    teacher: Teacher
    student: Any
