"""Loads a finished run: its task, student and teacher.

A run folder may be downloaded, so it is treated as data: nothing that it names is imported or
downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agents.discovery import settings
from agents.model import PRETRAINED, existing_folder, load_policy
from agents.runs.config import CONFIG, read_config
from agents.runs.folder import finished_run
from agents.runs.machine import Machine, resolve_machine
from agents.runs.moved_teacher import check_place, set_place
from agents.runs.references import with_references
from agents.runs.results import read_results
from agents.runs.run import Run
from agents.runs.task import build_task
from agents.runs.teacher import Teacher, find_teacher
from textgen_env.data.schema import check
from textgen_env.data.scope import local_only
from textgen_env.errors import UserError
from textgen_env.imports import check_named
from textgen_env.metrics.functions import is_path_of_metric
from textgen_env.tasks import known_tasks
from textgen_env.tasks.task import Task

ORIGIN = ("data", "data_dir", "corpus", "hub", "hub_config", "hub_revision")
Env = dict[str, Any]  # the name of a task and some of its options, as a user gave them


def load_run(
    folder: Path | str,
    device: str = "auto",
    precision: str = "auto",
    env: Env | None = None,
    teacher: str | None = None,
) -> Run:
    """Load the finished run in ``folder``: its task, its best student and its teacher.

    Args:
        folder: the run folder.
        device: overrides the device in the run's config.
        precision: overrides the precision in the run's config.
        env: overrides options of the run's task, for example because its corpus was moved.
        teacher: another place of the run's teacher, because it was moved.

    Raises:
        UserError: the teacher is missing or another one, or ``load_student`` fails.
    """
    folder = Path(folder)
    config, results = read_run(folder, env, teacher)
    check_place(folder, config)  # before the task, whose tokens may be those of the teacher
    config.device, config.precision = device, precision
    task, student = _open_student(folder, config, results, env)
    machine = resolve_machine(config)
    opened = load_teacher(folder, config, task, machine, student)
    task = with_references(config, task, opened, machine)
    return Run(folder, config, machine, task, opened, student)


def load_teacher(
    folder: Path | str, config: DictConfig, task: Task, machine: Machine, student: Any
) -> Teacher:
    """Load the teacher of the finished run in ``folder``.

    Args:
        folder: the run folder.
        config: from ``read_run``.
        task: has the student's vocabulary.
        machine: precision and device.
        student: that of the run.

    Raises:
        UserError: the teacher is missing or has another vocabulary.
    """
    if not config.teacher.path and config.teacher.name != "exact":
        raise UserError(
            f"{Path(folder) / 'results.json'} names no teacher; "
            "rerun the command with resume=true to restore it"
        )
    check_place(Path(folder), config)
    with local_only():
        return find_teacher(config, task, machine, student)


def load_student(
    folder: Path | str, device: str = "auto", precision: str = "auto", env: Env | None = None
) -> tuple[DictConfig, Task, Any]:
    """Load a finished run without its teacher; the arguments are as in ``load_run``.

    Returns:
        The config, the task, and the best student in evaluation mode.

    Raises:
        UserError: the folder holds no finished run or one of another version of this project, or
            its corpus or vocabulary has changed.
    """
    folder = Path(folder)
    config, results = read_run(folder, env)
    config.device, config.precision = device, precision
    return config, *_open_student(folder, config, results, env)


def _open_student(
    folder: Path, config: DictConfig, results: dict[str, Any], env: Env | None
) -> tuple[Task, Any]:
    """The task and the student of the run that ``read_run`` read."""
    machine = resolve_machine(config)
    with task_of(folder, env):
        task = build_task(config)
    before, now = results["corpus"]["fingerprint"], task.corpus.fingerprint
    if before != now:
        raise UserError(
            f"{folder}: the run was trained on a different corpus ({before}) from the one that its "
            f"config.yaml loads now ({now}); restore the corpus"
        )
    student, _ = load_policy(folder, task.vocabulary)
    student.to(machine.device).eval().requires_grad_(False)
    return task, student


@contextmanager
def task_of(folder: Path, env: Env | None) -> Iterator[None]:
    """Load the task of a run without downloads; errors name its ``config.yaml``.

    Args:
        folder: the run folder.
        env: options from the command line; if there are any, the error is about one of them.
    """
    try:
        with local_only():
            yield
    except UserError as error:
        where = "" if env else f"{folder / 'config.yaml'}: "
        raise UserError(f"{where}{error}") from error


def read_run(
    folder: Path, env: Env | None = None, teacher: str | None = None
) -> tuple[DictConfig, dict[str, Any]]:
    """Read ``config.yaml`` and ``results.json`` of a finished run.

    Args:
        folder: the run folder.
        env: options that override those of the run's task; another name replaces the task.
        teacher: another place of the run's teacher.

    Raises:
        UserError: the run is not finished, a key that is needed is missing, or its task does not
            exist or is not part of this project, or another teacher is in ``teacher``.
    """
    if not (existing_folder(folder) / "config.yaml").is_file():
        raise UserError(f"{folder} is not a finished run: it has no config.yaml; pass a run folder")
    finished_run(folder)
    config: Any = read_config(folder / "config.yaml")
    results = read_results(folder / "results.json")
    try:
        check(OmegaConf.to_container(config), CONFIG, "config.yaml")
        config.evaluate.setdefault("length_penalty", 1.0)  # the only value in earlier versions
        config.teacher.setdefault("length_penalty", 1.0)
        _ = results["scores"]["student"]["signature"]
        _ = [results[name] for name in ("corpus", "teacher", "student", "speed", "cost")]
        if env:
            config.env = _overridden(config.env, env)
        _check_env(config.env, folder)
        check_named("policy", config.teacher.name, folder)
        if is_path_of_metric(config.get("metric") or ""):
            check_named("metric", config.metric, folder)
        config.teacher.path = results["teacher"]["path"]  # a trained teacher has one too
        if teacher:
            set_place(folder, config, teacher)
        if config.student.name == "hf":
            config.student.path = str(folder / PRETRAINED)  # the original may be gone
            config.resume, config.init = False, None
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


def _overridden(saved: DictConfig, env: Env) -> Env:
    """``saved`` with the options of ``env``; those of another task are left out."""
    if env["name"] != saved.name:
        return env
    # another place of the text replaces all that the run says about its own
    dropped = ORIGIN if set(env) & set(ORIGIN) else ()
    return {str(name): value for name, value in saved.items() if name not in dropped} | env


def _check_env(env: DictConfig, folder: Path) -> None:
    """UserError unless the task exists and still has these options."""
    check_named("task", env.name, folder)
    tasks = known_tasks()
    if env.name not in tasks:
        raise _other_version(folder, f"env {env.name} no longer exists")
    options, defaults = set(env) - {"name"}, settings(tasks[env.name].load)
    if removed := sorted(options - defaults.keys()):
        raise _other_version(folder, f"{env.name} no longer has the option {', '.join(removed)}")
    if changed := sorted(key for key in options if not _fits(env[key], defaults[key])):
        raise _other_version(folder, f"{env.name} has changed the type of {', '.join(changed)}")


def _fits(value: Any, default: Any) -> bool:
    """Whether ``value`` has the type of ``default``; if the default is None, any scalar."""
    if value is None or default is None:
        return value is default or isinstance(value, str | int | float)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def _other_version(folder: Path, reason: str) -> UserError:
    return UserError(
        f"{folder} is a run of an incompatible version of this project ({reason}); run it again"
    )
