"""Builds the student of a run, or loads it from another run."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from agents.discovery import find_algorithm, keys_of
from agents.model import build_policy, load_policy
from agents.runs.config import chosen
from agents.runs.folder import finished_run
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task


def build_student(config: DictConfig, task: Task) -> Any:
    """The student of the run folder ``init``; by default a new one, initialized from ``seed``."""
    if config.init is not None:
        return _load_initial(config, task)
    name, settings = chosen(config.student)
    with keys_of("student", settings):
        return build_policy(name, settings, task.vocabulary, config.seed)


def _load_initial(config: DictConfig, task: Task) -> Any:
    """The student of the run ``init``; UserError unless it has the architecture of ``config``."""
    policy, header = load_policy(finished_run(config.init), task.vocabulary)
    name, settings = chosen(config.student)
    configured, architecture = {"": name, **settings}, header["architecture"]
    saved = {"": architecture["name"], **architecture["settings"]}
    overrides = [
        f"student{key and f'.{key}'}={'null' if value is None else value}"
        for key, value in saved.items()
        if configured.get(key) != value
    ]
    if overrides:
        raise UserError(
            f"init={config.init} holds a different student; to use it, add {' '.join(overrides)}"
        )
    return policy


def check_start(config: DictConfig) -> None:
    """UserError if the algorithm needs a trained student and ``config`` names none."""
    if config.init is None and needs_start(config):
        raise UserError(
            f"algorithm={config.algorithm.name} improves a student that can already generate: "
            "give init=RUN, for example a run of algorithm=bc, or algorithm.cold_start=true"
        )


def needs_start(config: DictConfig) -> bool:
    """Whether the algorithm has to start from a trained student."""
    algorithm = find_algorithm(config.algorithm.name)
    needed = algorithm.func.needs_start  # type: ignore[attr-defined]
    return bool(needed and not config.algorithm.get("cold_start"))
