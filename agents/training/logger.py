"""The log of a training: metrics.jsonl, TensorBoard events and a progress bar."""

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

from textgen_env.data.files import write_atomically
from textgen_env.errors import UserError
from textgen_env.terminal import console

_numbers = count()


class Events:
    """A file of TensorBoard scalars in ``folder``, that hides what other files there hold after step ``start``.

    Written by the caller, not by a thread as in ``SummaryWriter``: a full disk is an error where it happens.
    """

    def __init__(self, folder: Path, start: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self.path = folder / name
        opening = SessionLog(status=SessionLog.START)
        self.write(Event(file_version="brain.Event:2"), Event(step=start + 1, session_log=opening))

    def write(self, *events: Event) -> None:
        """Append ``events``."""
        with open(self.path, "ab") as file:
            writer = RecordWriter(file)
            for event in events:
                event.wall_time = time.time()
                writer.write(event.SerializeToString())


class Logger:
    """The log of one phase ("teacher" or "student") of a run folder.

    Rows after step ``start`` are dropped: a resumed run has no doubles.  Where nothing was saved, ``start`` is 0, and the
    row of a validation before the first update goes too, as it is made again.
    """

    def __init__(self, folder: Path, phase: str, start: int, steps: int) -> None:
        self.phase, self.steps, self.start = phase, steps, start
        self.path = folder / "metrics.jsonl"
        self._drop_rows_after(start)
        try:
            self.events = Events(folder / "tensorboard", start)
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
        """Move the progress bar by a step."""
        self.progress.advance(self.bar)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Log ``metrics`` after ``step`` updates.  UserError where they cannot be written."""
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
            raise UserError(
                f"cannot write {error.filename or self.path}: {error.strerror}"
            ) from error
        names = {"loss": "loss", "tokens_per_second": "tok/s"}
        names |= {
            name: name.replace("valid_", "valid ") for name in metrics if name.startswith("valid_")
        }
        text = "  ".join(
            f"{short} {metrics[name]:.4g}" for name, short in names.items() if name in metrics
        )
        self.progress.update(self.bar, metrics=text)
        if not console.is_terminal and step % max(1, self.steps // 10) == 0:
            console.print(f"{self.phase} {step}/{self.steps}  {text}")

    def _drop_rows_after(self, start: int) -> None:
        if not self.path.exists():
            return
        *lines, _torn = self.path.read_bytes().split(
            b"\n"
        )  # the last line is empty, or torn where the run was killed
        kept = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                if row["phase"] != self.phase or (start and row["step"] <= start):
                    kept.append(line + b"\n")
            except (ValueError, KeyError, TypeError):
                raise UserError(
                    f"{self.path}:{number}: not a row of this file; remove the line"
                ) from None
        write_atomically(self.path, b"".join(kept))
