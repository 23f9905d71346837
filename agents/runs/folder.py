"""The run folder: its name, whether a command may use it, its lock, and how to resume the run."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from agents.runs.config import check_same
from agents.runs.locks import LOCK_FILE, locked
from agents.training.signals import Interrupted
from textgen_env.data.files import write_atomically
from textgen_env.errors import UserError

# Keys that a resume may change: in any run, in a finished run, in an unfinished run.
ALWAYS = ("out", "resume", "threads", "workers", "teacher.compile", "teacher.train.accumulate")
FINISHED = (*ALWAYS, "evaluate.")
UNFINISHED = (*FINISHED, "train.lr", "train.clip", "train.accumulate", "train.checkpointing")


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
        raise UserError("resume=true: name the folder of the run with out=")
    default = f"{config.env.name}-{config.algorithm.name}-{config.student.name}-seed{config.seed}"
    config.out = config.out or str(unused_folder(default))
    folder = Path(config.out)
    _check_folder(folder, config)  # before locking, which creates the folder
    with locked(folder), resumable(resume_command(script, overrides, folder)):
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
    elif config.resume and not path.is_file():
        raise UserError(f"resume=true: there is no run in {folder}")
    if config.resume:
        check_same(path, config, FINISHED if (folder / "results.json").is_file() else UNFINISHED)


def has_content(folder: Path) -> bool:
    """Whether ``folder`` holds more than the ``config.yaml`` of a run that failed at its start."""
    return folder.exists() and any(
        entry.name not in ("config.yaml", LOCK_FILE) for entry in folder.iterdir()
    )


def finished_run(run: Path | str) -> Path:
    """``run`` as a path; UserError if it is the folder of an unfinished run."""
    folder = Path(run)
    if (folder / "config.yaml").is_file() and not (folder / "results.json").is_file():
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
    """``runs/NAME``; if it exists, ``runs/NAME-2``, and so on."""
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(folder for folder in map(Path("runs").joinpath, names) if not folder.exists())


def resume_command(script: str, overrides: list[str], folder: Path) -> str:
    """The command that resumes the run in ``folder``."""
    kept = [text for text in overrides if text.partition("=")[0] not in ("out", "resume")]
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
