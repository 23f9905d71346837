"""The folder of one run: its name, whether it may be used, its lock, and the command that resumes it."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from agents.runs.config import check_same
from agents.runs.locks import LOCK, locked
from agents.training.trainer import Interrupted
from textgen_env.data.files import write_atomically
from textgen_env.errors import UserError

# Keys that may change in a run: at any time; once it is finished, for another evaluation; before that, on a resume.
ALWAYS = ("out", "resume", "threads", "workers", "teacher.compile")
FINISHED = (*ALWAYS, "evaluate.")
UNFINISHED = (*FINISHED, "train.lr", "train.clip")


@contextmanager
def open_folder(config: DictConfig, script: str, words: list[str]) -> Iterator[Path]:
    """The run folder ``config.out``, with ``config.yaml`` in it, locked while it is open.

    Args:
        config: its ``out`` is filled in where it is null.
        script: which a user repeats to resume the run, such as ``experiments/dagger.py``.
        words: of its command line.

    Raises:
        UserError: the folder holds something else, or another run holds the lock.
        Interrupted: a signal stopped what was done in the folder; says how to resume.
    """
    if config.resume and not config.out:
        raise UserError("resume=true: name the folder of the run with out=")
    default = f"{config.env.name}-{config.algorithm.name}-{config.student.name}-seed{config.seed}"
    config.out = config.out or str(unused(default))
    folder = Path(config.out)
    _check_folder(folder, config)  # before the lock makes the folder
    with locked(folder), resumable(resume_command(script, words, folder)):
        write_atomically(folder / "config.yaml", OmegaConf.to_yaml(config).encode())
        yield folder


def _check_folder(folder: Path, config: DictConfig) -> None:
    path = folder / "config.yaml"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"out={folder} is a file; name a folder")
    if begun(folder):
        if not path.is_file():
            raise UserError(f"{folder} is not empty and holds no run: choose another out=")
        if not config.resume:
            raise UserError(
                f"{folder} holds a run: continue it with resume=true, or choose another out="
            )
    elif config.resume and not path.is_file():
        raise UserError(f"resume=true: no run in {folder}")
    if config.resume:
        check_same(path, config, FINISHED if (folder / "results.json").is_file() else UNFINISHED)


def begun(folder: Path) -> bool:
    """Whether ``folder`` holds anything to lose: a run that failed at its start leaves only a ``config.yaml``."""
    return folder.exists() and any(
        entry.name not in ("config.yaml", LOCK) for entry in folder.iterdir()
    )


def finished(run: Path | str) -> Path:
    """The folder ``run``; UserError where its run has not finished."""
    folder = Path(run)
    if (folder / "config.yaml").is_file() and not (folder / "results.json").is_file():
        raise UserError(
            f"{folder} holds no finished run: there is no results.json; "
            f"finish it by the run's command with resume=true out={folder}"
        )
    return folder


def make_folder(out: str) -> Path:
    """The folder ``out``, created before the work rather than after it; existing files may be overwritten."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"out={out}: {error.strerror}; name a folder that can be written"
        ) from error
    return folder


def unused(name: str) -> Path:
    """``runs/name``, with a number behind it if that is taken."""
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(folder for folder in map(Path("runs").joinpath, names) if not folder.exists())


def resume_command(script: str, words: list[str], folder: Path) -> str:
    """The command that resumes the run in ``folder``."""
    kept = [word for word in words if word.partition("=")[0] not in ("out", "resume")]
    return shlex.join(["python", script, *kept, f"out={folder}", "resume=true"])


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """A signal inside raises ``Interrupted``, whose message names the ``command`` to resume with."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        first = (str(stop) or "interrupted").splitlines()[0]
        raise Interrupted(
            f"{first}\nresume with: {command}", getattr(stop, "number", signal.SIGINT)
        ) from stop
