"""A run folder, alive again: the task it was made in, its student and its teacher.

The folder may be from the net: it is data.  Nothing that it names is imported or downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from torch import nn

import distil
import teaching
from agents.discovery import settings
from agents.runs.store import load_policy
from run_folder import read_config, read_results
from teaching import Teacher
from textgen_env.data.hub import local_only
from textgen_env.errors import UserError
from textgen_env.tasks import tasks
from textgen_env.tasks.task import Task


class Run(NamedTuple):
    """config: the run's own, but with the device and precision that were asked for.  student: the best one, evaluation mode."""

    config: DictConfig
    task: Task
    student: nn.Module
    teacher: Teacher


def reopen(folder: Path | str, device: str = "auto", precision: str = "auto") -> Run:
    """The finished run in ``folder``: the same corpus and vocabulary, its best student, the teacher it learnt from.

    UserError where its teacher is gone, and as ``reopen_student``.
    """
    config, task, student = reopen_student(folder, device, precision)
    path = str(config.teacher.path or "")
    if path and not path.startswith("hf:") and not Path(path).exists():
        raise UserError(f"{folder}: its teacher, {path}, is gone; the run's command with resume=true trains it again")
    with local_only():
        return Run(config, task, student, teaching.find_teacher(config, task, distil.machine(config)))


def reopen_student(folder: Path | str, device: str = "auto", precision: str = "auto") -> tuple[DictConfig, Task, nn.Module]:
    """``Run`` without its teacher.

    UserError where there is no finished run, or one of another version of this project, or its corpus or vocabulary is
    no longer what it was.
    """
    folder = Path(folder)
    config, results = _read(folder)
    config.device, config.precision = device, precision
    on = distil.machine(config)
    with local_only():
        task = distil.load_task(config)
    before, now = results["corpus"]["fingerprint"], task.corpus.fingerprint
    if before != now:
        raise UserError(f"{folder} was made from another corpus ({before}) than its config.yaml finds now ({now}); restore it")
    student, _ = load_policy(folder, task.vocabulary)
    student.to(on.device).eval().requires_grad_(False)
    config.teacher.path = results["teacher"]["path"]
    return config, task, student


def _read(folder: Path) -> tuple[DictConfig, dict[str, Any]]:
    """``config.yaml`` and ``results.json``, as far as ``reopen`` needs them."""
    if not folder.is_dir():
        raise UserError(f"no run folder at {folder}")
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder} holds no finished run: there is no config.yaml; name the folder of a run")
    distil.finished(str(folder))
    config: Any = read_config(folder / "config.yaml")
    results = read_results(folder / "results.json")
    try:
        name, options = config.env.name, set(config.env) - {"name"}
        config.evaluate.setdefault("length_penalty", 1.0)  # earlier versions had no other
        config.teacher.setdefault("length_penalty", 1.0)
        _ = config.teacher.name, config.evaluate.beam, results["scores"]["teacher"]["signature"]
        _ = [results[name] for name in ("corpus", "teacher", "student", "speed", "cost")]
    except (OmegaConfBaseException, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _foreign(folder, str(error).splitlines()[0]) from error
    if name not in tasks():
        raise _foreign(folder, f"there is no env {name} now")
    defaults = settings(tasks()[name].load)
    if gone := sorted(options - defaults.keys()):
        raise _foreign(folder, f"{name} has no {', '.join(gone)} now")
    if wrong := sorted(key for key in options if not _fits(config.env[key], defaults[key])):
        raise _foreign(folder, f"{name} has another kind of {', '.join(wrong)} now")
    return config, results


def _fits(value: Any, default: Any) -> bool:
    """Whether ``value`` is of the type of ``default``; where that is None, of any that a key can have."""
    if value is None or default is None:
        return value is default or isinstance(value, str | int | float)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def _foreign(folder: Path, why: str) -> UserError:
    return UserError(f"{folder} is a run of another version of this project ({why}); run it again")
