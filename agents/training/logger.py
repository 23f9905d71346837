"""Logs a training run to metrics.jsonl, TensorBoard and a progress bar."""

from __future__ import annotations

import json
import os
import socket
import time
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from textgen_env.data.files import read_rows, write_atomically
from textgen_env.data.schema import COUNT, METRIC
from textgen_env.errors import UserError
from textgen_env.terminal import console

ROW = {"step": COUNT, "phase": str, "*": METRIC}  # of metrics.jsonl
_file_numbers = count()


class EventFile:
    """A TensorBoard event file in ``folder``; hides events after step ``start`` in older files.

    Unlike ``SummaryWriter``, it writes in the calling thread, so a full disk raises an error there.
    """

    def __init__(self, folder: Path, start: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        origin = f"{socket.gethostname()}.{os.getpid()}.{next(_file_numbers)}"
        self.path = folder / f"events.out.tfevents.{time.time():010.0f}.{origin}"
        restart = SessionLog(status=SessionLog.START)
        self.write(Event(file_version="brain.Event:2"), Event(step=start + 1, session_log=restart))

    def write(self, *events: Event) -> None:
        """Append ``events``."""
        with open(self.path, "ab") as file:
            writer = RecordWriter(file)
            for event in events:
                event.wall_time = time.time()
                writer.write(event.SerializeToString())


class Logger:
    """The log of one phase of a run, "teacher" or "student".

    Rows of this phase after step ``start`` are dropped, as a resumed run logs them again. With
    ``start`` 0 nothing was saved, so the row of a validation before the first step is dropped too.
    """

    def __init__(self, folder: Path, phase: str, start: int, steps: int) -> None:
        self.phase, self.steps, self.start = phase, steps, start
        self.path = folder / "metrics.jsonl"
        self._drop_rows_after(start)
        try:
            self.events = EventFile(folder / "tensorboard", start)
        except OSError as error:
            raise UserError(f"cannot write {folder / 'tensorboard'}: {error.strerror}") from error
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}"),
        ]
        self.progress = Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console
        )

    def __enter__(self) -> Self:
        self.progress.start()
        self.bar = self.progress.add_task(
            self.phase, total=self.steps, completed=self.start, metrics=""
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def advance(self) -> None:
        """Move the progress bar by one step."""
        self.progress.advance(self.bar)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Log ``metrics`` after ``step`` updates; UserError if they cannot be written."""
        scalars = [
            Summary.Value(tag=f"{self.phase}/{name}", simple_value=value)
            for name, value in metrics.items()
        ]
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "phase": self.phase, **metrics}) + "\n")
            self.events.write(
                *(Event(step=step, summary=Summary(value=[scalar])) for scalar in scalars)
            )
        except OSError as error:
            path = error.filename or self.path
            raise UserError(f"cannot write {path}: {error.strerror}") from error
        labels = {"loss": "loss", "tokens_per_second": "tok/s"}
        labels |= {
            name: name.replace("valid_", "valid ") for name in metrics if name.startswith("valid_")
        }
        text = "  ".join(
            f"{label} {metrics[name]:.4g}" for name, label in labels.items() if name in metrics
        )
        self.progress.update(self.bar, metrics=text)
        if not console.is_terminal and step % max(1, self.steps // 10) == 0:
            console.print(f"{self.phase} {step}/{self.steps}  {text}")

    def _drop_rows_after(self, start: int) -> None:
        if not self.path.exists():
            return
        kept = [
            line + b"\n"
            for line, row in read_rows(self.path, ROW)
            if row["phase"] != self.phase or (start and row["step"] <= start)
        ]
        write_atomically(self.path, b"".join(kept))
