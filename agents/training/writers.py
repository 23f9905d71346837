"""Where a training logs its metrics besides metrics.jsonl: TensorBoard, wandb, trackio, your own.

A writer outside this package is a class named by its dotted path, such as
``logger=[tensorboard,my_loggers.Mine]``, with the methods of ``Writer``.
"""

from __future__ import annotations

import importlib
import inspect
import os
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from textgen_env.errors import UserError, unknown
from textgen_env.imports import import_object, is_path

PROJECT = "textgen-imitation"  # of wandb and trackio
_file_numbers = count()


class Writer(Protocol):
    """Gets the metrics of one phase of a run. It is created with ``(folder, phase, start)``.

    ``folder`` is the run folder, ``phase`` is "teacher" or "student", and ``start`` is the step
    after which the training continues, 0 for a new one; metrics after it are logged again.
    """

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Log ``metrics`` after ``step`` updates."""
        ...

    def close(self) -> None:
        """Finish, after the last update or an interruption."""
        ...


class TensorBoard:
    """A TensorBoard event file; hides events after step ``start`` in older files of the folder.

    Unlike ``SummaryWriter``, it writes in the calling thread, so a full disk raises an error there.
    """

    def __init__(self, folder: Path, phase: str, start: int) -> None:
        self.phase, events = phase, folder / "tensorboard"
        try:
            events.mkdir(parents=True, exist_ok=True)
            origin = f"{socket.gethostname()}.{os.getpid()}.{next(_file_numbers)}"
            self.path = events / f"events.out.tfevents.{time.time():010.0f}.{origin}"
            restart = SessionLog(status=SessionLog.START)
            self._write(
                Event(file_version="brain.Event:2"), Event(step=start + 1, session_log=restart)
            )
        except OSError as error:
            raise UserError(f"cannot write {events}: {error.strerror}") from error

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Append one scalar per metric, ``PHASE/NAME``."""
        values = (
            Summary.Value(tag=f"{self.phase}/{name}", simple_value=value)
            for name, value in metrics.items()
        )
        self._write(*(Event(step=step, summary=Summary(value=[value])) for value in values))

    def close(self) -> None:
        """Do nothing: the file is closed after every event."""

    def _write(self, *events: Event) -> None:
        with open(self.path, "ab") as file:
            writer = RecordWriter(file)
            for event in events:
                event.wall_time = time.time()
                writer.write(event.SerializeToString())


class Tracker:
    """A run of wandb, or of trackio, which has the same interface."""

    def __init__(self, package: str, folder: Path, phase: str, start: int) -> None:
        self.phase, self.package = phase, importlib.import_module(package)
        options: dict[str, Any] = {"project": PROJECT, "name": f"{folder.name}-{phase}"}
        if package == "wandb":  # trackio resumes by the name
            place = f"{folder.resolve()} {phase}"
            options |= {"id": blake2b(place.encode(), digest_size=8).hexdigest(), "dir": folder}
        try:
            self.package.init(**options, resume="allow" if start else None)
        except Exception as error:  # no network, not logged in …
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(f"logger={package}: {reason}") from error

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Log ``PHASE/NAME`` for every metric."""
        named = {f"{self.phase}/{name}": value for name, value in metrics.items()}
        self.package.log(named, step=step)

    def close(self) -> None:
        """Finish the run."""
        self.package.finish()


PACKAGES = ("wandb", "trackio")
WRITERS: dict[str, Callable[[Path, str, int], Writer]] = {
    "tensorboard": TensorBoard,
    **{package: partial(Tracker, package) for package in PACKAGES},
}


def find_writer(name: str) -> Callable[[Path, str, int], Writer]:
    """The writer with that name, or at the dotted path ``module.Class``.

    Raises:
        UserError: there is none, its package is not installed, or it is not a ``Writer``.
    """
    if name in PACKAGES and not find_spec(name):
        raise UserError(f"logger={name} needs {name}: python -m pip install {name}")
    if name in WRITERS:
        return WRITERS[name]
    if not is_path(name):
        raise unknown("logger", name, WRITERS)
    writer = import_object("logger", name)
    try:
        inspect.signature(writer).bind(Path(), "student", 0)
    except TypeError as error:
        raise UserError(
            f"logger={name} is not called with (folder, phase, start): {error}"
        ) from error
    if missing := [part for part in ("log", "close") if not callable(getattr(writer, part, None))]:
        raise UserError(f"logger={name} has no {missing[0]}(); see agents.training.writers.Writer")
    return writer  # type: ignore[no-any-return]


def open_writers(names: Sequence[str], folder: Path, phase: str, start: int) -> list[Writer]:
    """Create the writers of one phase of a run."""
    return [find_writer(name)(folder, phase, start) for name in names]
