"""A run folder, opened again: its task, its student and its teacher.

The folder may come from the net: it is data.  Nothing that it names is imported or downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from agents.discovery import settings
from agents.model import load_policy
from agents.runs.config import read_config
from agents.runs.folder import finished
from agents.runs.machine import find_machine
from agents.runs.results import read_results
from agents.runs.run import Run
from agents.runs.task import load_task
from agents.runs.teacher import find_teacher
from textgen_env.data.hub import local_only
from textgen_env.errors import UserError
from textgen_env.tasks import tasks
from textgen_env.tasks.task import Task


def reopen(folder: Path | str, device: str = "auto", precision: str = "auto") -> Run:
    """The finished run in ``folder``: the same corpus and vocabulary, its best student, and its teacher.

    Args:
        folder: of the run.
        device: replaces the run's own.
        precision: replaces the run's own.

    Raises:
        UserError: its teacher is gone; and as ``reopen_student``.
    """
    config, task, student = reopen_student(folder, device, precision)
    path = str(config.teacher.path or "")
    if path and not path.startswith("hf:") and not Path(path).exists():
        raise UserError(
            f"{folder}: its teacher, {path}, is gone; the run's command with resume=true trains it again"
        )
    machine = find_machine(config)
    with local_only():
        return Run(
            Path(folder), config, machine, task, find_teacher(config, task, machine), student
        )


def reopen_student(
    folder: Path | str, device: str = "auto", precision: str = "auto"
) -> tuple[DictConfig, Task, Any]:
    """A finished run's settings, task and best student, in evaluation mode, without its teacher.

    Raises:
        UserError: there is no finished run, or one of another version of this project, or its corpus or vocabulary has
            changed since.
    """
    folder = Path(folder)
    config, results = _read(folder)
    config.device, config.precision = device, precision
    machine = find_machine(config)
    with local_only():
        task = load_task(config)
    before, now = results["corpus"]["fingerprint"], task.corpus.fingerprint
    if before != now:
        raise UserError(
            f"{folder} was made from another corpus ({before}) than its config.yaml finds now ({now}); restore it"
        )
    student, _ = load_policy(folder, task.vocabulary)
    student.to(machine.device).eval().requires_grad_(False)
    config.teacher.path = results["teacher"]["path"]
    return config, task, student


def _read(folder: Path) -> tuple[DictConfig, dict[str, Any]]:
    """``config.yaml`` and ``results.json``; UserError where something that ``reopen`` needs is missing."""
    if not folder.is_dir():
        raise UserError(f"no run folder at {folder}")
    if not (folder / "config.yaml").is_file():
        raise UserError(
            f"{folder} holds no finished run: there is no config.yaml; name the folder of a run"
        )
    finished(folder)
    config: Any = read_config(folder / "config.yaml")
    results = read_results(folder / "results.json")
    try:
        config.evaluate.setdefault("length_penalty", 1.0)  # earlier versions had no other
        config.teacher.setdefault("length_penalty", 1.0)
        _ = config.teacher.name, config.evaluate.beam, results["scores"]["teacher"]["signature"]
        _ = [results[name] for name in ("corpus", "teacher", "student", "speed", "cost")]
        _check_env(config.env, folder)
    except UserError:
        raise
    except (
        OmegaConfBaseException,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise _other_version(folder, str(error).splitlines()[0]) from error
    return config, results


def _check_env(env: DictConfig, folder: Path) -> None:
    """UserError unless the task of that name still takes these options."""
    if env.name not in tasks():
        raise _other_version(folder, f"there is no env {env.name} now")
    options, defaults = set(env) - {"name"}, settings(tasks()[env.name].load)
    if gone := sorted(options - defaults.keys()):
        raise _other_version(folder, f"{env.name} has no {', '.join(gone)} now")
    if wrong := sorted(key for key in options if not _fits(env[key], defaults[key])):
        raise _other_version(folder, f"{env.name} has another kind of {', '.join(wrong)} now")


def _fits(value: Any, default: Any) -> bool:
    """Whether ``value`` is of the type of ``default``; where that is None, of any that a key can have."""
    if value is None or default is None:
        return value is default or isinstance(value, str | int | float)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def _other_version(folder: Path, why: str) -> UserError:
    return UserError(f"{folder} is a run of another version of this project ({why}); run it again")
