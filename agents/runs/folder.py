"""The run folder: its name, whether a command may use it, its lock, and how to resume the run."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.runs.changes import CHANGES, record_changes
from agents.runs.config import check_same, is_outside
from agents.runs.locks import LOCK_FILE, is_locked, locked
from agents.runs.moved_teacher import HASHES, moved_keys
from agents.training.saving import saved_step
from agents.training.signals import Interrupted
from textgen_env.data.files import is_temporary, remove_temporaries, write_atomically
from textgen_env.errors import UserError

# Keys that a resume may change: in any run, in a finished run, in an unfinished run.
ALWAYS = ("out", "resume", "threads", "workers", "teacher.compile", "teacher.train.accumulate")
FINISHED = (*ALWAYS, "evaluate.")
# Keys of which a larger value lets a finished run train on.
LONGER = ("train.steps", "train.epochs", "train.patience")
UNFINISHED = (
    *(*FINISHED, *LONGER, "train.lr", "train.clip", "train.validations"),
    *("train.accumulate", "train.checkpointing"),
)
# What a run writes before its first checkpoint. A folder with nothing else has lost nothing.
BEGINNING = (
    *("config.yaml", LOCK_FILE, "vocabulary.json", "model", "metrics.jsonl"),
    *("tensorboard", "checkpoints", CHANGES, HASHES),
)


@contextmanager
def open_folder(config: DictConfig, script: str, overrides: list[str]) -> Iterator[Path]:
    """Create or reopen the run folder ``config.out``, save ``config.yaml`` in it and lock it.

    Args:
        config: all settings; ``out`` is set here if it is null.
        script: the command to repeat for a resume, such as ``experiments/dagger.py``.
        overrides: the arguments of the command.

    Yields:
        The folder.

    Raises:
        UserError: the folder holds something else, or another run holds its lock.
        Interrupted: a signal arrived; the message says how to resume.
    """
    if config.resume and not config.out:
        raise UserError(
            f"resume={str(config.resume).lower()}: name the folder of the run with out="
        )
    default = f"{config.env.name}-{config.algorithm.name}-{config.student.name}-seed{config.seed}"
    config.out = config.out or str(unused_folder(default))
    folder = Path(config.out)
    _check_folder(folder, config)  # before locking, which creates the folder
    with locked(folder), resumable(resume_command(script, overrides, folder)):
        remove_temporaries(folder)
        _record_changes(folder, config)
        write_atomically(folder / "config.yaml", OmegaConf.to_yaml(config).encode())
        yield folder


def _check_folder(folder: Path, config: DictConfig) -> None:
    path = folder / "config.yaml"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"out={folder} is a file; name a folder")
    if has_content(folder):
        if not path.is_file():
            raise UserError(f"{folder} is not empty and holds no run: choose another out=")
        if not config.resume:
            raise UserError(
                f"{folder} already holds a run: continue it with resume=true, "
                "or choose another out="
            )
    elif config.resume is True and not path.is_file():
        raise UserError(f"resume=true: there is no run in {folder}")


def _changes(folder: Path, config: DictConfig) -> dict[str, tuple[Any, Any]]:
    """``{key: (before, after)}`` of what ``config`` changes in the run that it resumes.

    Raises:
        UserError: it changes what may not change.
    """
    path = folder / "config.yaml"
    resumed = config.resume is True or (config.resume and has_content(folder))
    if not resumed or not path.is_file():
        return {}
    step, steps = saved_step(folder), config.train.steps
    if steps is not None and steps < step:
        raise UserError(f"train.steps={steps}: the run in {folder} has done {step} steps")
    moved = moved_keys(folder, config)
    changed = check_same(path, config, (*UNFINISHED, *moved))
    if is_finished(folder) and not _is_longer(changed):
        check_same(path, config, (*FINISHED, *moved))
    return {key: values for key, values in changed.items() if not key.startswith(ALWAYS)}


def _is_longer(changed: dict[str, tuple[Any, Any]]) -> bool:
    """Whether the training goes on after what was its end."""

    def limit(key: str, value: Any) -> float:
        unlimited = float("inf") if key == "train.patience" else 0.0
        return value if isinstance(value, int | float) else unlimited

    return any(
        limit(key, after) > limit(key, before)
        for key, (before, after) in changed.items()
        if key in LONGER
    )


def _record_changes(folder: Path, config: DictConfig) -> None:
    """Record what the resume changes; a finished run that is to train longer becomes unfinished."""
    changed, results = _changes(folder, config), folder / "results.json"
    if not changed:
        return
    step = saved_step(folder)
    record_changes(folder, step, changed)
    if _is_longer(changed) and results.is_file():
        results.rename(folder / f"results-{step}.json")


def has_content(folder: Path) -> bool:
    """Whether ``folder`` holds more than what a run leaves that ended before its first checkpoint.

    Files that a killed process was writing do not count.
    """
    if not folder.is_dir():
        return folder.exists()
    entries = [*folder.iterdir(), *(folder / "checkpoints").glob("*")]
    return any(not (path.name in BEGINNING or is_temporary(path)) for path in entries)


def is_finished(run: Path | str) -> bool:
    """Whether the run in the folder ``run`` has its results."""
    return (Path(run) / "results.json").is_file()


def finished_run(run: Path | str) -> Path:
    """``run`` as a path; UserError if it is the folder of an unfinished run."""
    folder = Path(run)
    if (folder / "config.yaml").is_file() and not is_finished(folder):
        raise UserError(
            f"{folder} is not a finished run: it has no results.json; "
            f"finish it by repeating its command with resume=true out={folder}"
        )
    return folder


def make_folder(out: str) -> Path:
    """Create the folder ``out``, before the work whose results go there; it may exist."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"out={out}: {error.strerror}; name a folder that can be written"
        ) from error
    return folder


def unused_folder(name: str) -> Path:
    """``runs/NAME``; if a run is in it or uses it, ``runs/NAME-2``, and so on."""
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    folders = map(Path("runs").joinpath, names)
    return next(path for path in folders if not has_content(path) and not is_locked(path))


def resume_command(script: str, overrides: list[str], folder: Path) -> str:
    """The command that resumes the run in ``folder``, with what no folder may decide."""
    pairs = (text.partition("=")[::2] for text in overrides)
    kept = [f"{key}={value}" for key, value in pairs if is_outside(key, value.strip("'\""))]
    return shlex.join(["python", script, *kept, f"out={folder}", "resume=true"])


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """Add the resume ``command`` to the message of a signal that interrupts the block."""
    try:
        yield
    except KeyboardInterrupt as error:
        first_line = (str(error) or "interrupted").splitlines()[0]
        number = getattr(error, "number", signal.SIGINT)
        raise Interrupted(f"{first_line}\nresume with: {command}", number) from error
