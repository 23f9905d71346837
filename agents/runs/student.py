"""The student of a run: fresh, or the one that another run has trained."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from agents.discovery import find_algorithm, keys_of
from agents.model import build_policy, load_policy
from agents.runs.config import chosen
from agents.runs.folder import finished
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task


def build_student(config: DictConfig, task: Task) -> Any:
    """The student of the run folder ``init``, or a fresh one, whose weights depend on ``seed`` and not on the algorithm."""
    if config.init is not None:
        return _start_from(config, task)
    name, settings = chosen(config.student)
    with keys_of("student", settings):
        return build_policy(name, settings, task.vocabulary, config.seed)


def _start_from(config: DictConfig, task: Task) -> Any:
    """The student of the run folder ``init``; UserError unless it is the one that ``config`` describes."""
    policy, header = load_policy(finished(config.init), task.vocabulary)
    name, settings = chosen(config.student)
    here, there = (
        {"": name, **settings},
        {"": header["architecture"]["name"], **header["architecture"]["settings"]},
    )
    wanted = [
        f"student{key and f'.{key}'}={'null' if value is None else value}"
        for key, value in there.items()
        if here.get(key) != value
    ]
    if wanted:
        raise UserError(
            f"init={config.init} holds another student than this run's: add {' '.join(wanted)}"
        )
    return policy


def check_start(config: DictConfig) -> None:
    """UserError where an algorithm that improves a trained student has none to start from."""
    if config.init is None and needs_start(config):
        raise UserError(
            f"algorithm={config.algorithm.name} improves a student that can already generate: "
            "give init=RUN, say a run of algorithm=bc, or algorithm.cold_start=true"
        )


def needs_start(config: DictConfig) -> bool:
    """Whether the algorithm only improves a student that was trained before."""
    algorithm = find_algorithm(config.algorithm.name)
    return bool(algorithm.func.needs_start and not config.algorithm.get("cold_start"))  # type: ignore[attr-defined]
