"""What a training writes down as it goes: metrics.jsonl, TensorBoard events and a progress bar."""

from __future__ import annotations

import json
import os
import socket
import time
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from textgen_env.data.files import write_atomically
from textgen_env.errors import UserError
from textgen_env.terminal import console

_numbers = count()


class Board:
    """TensorBoard scalars in ``folder``.

    Written by the caller, not by a thread as ``SummaryWriter`` does: a full disk is an error where it happens.

    Args:
        folder: where the event file goes.
        start: what an earlier part of the training wrote after this step no longer counts.
    """

    def __init__(self, folder: Path, start: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self.path = folder / name
        opening = Event(wall_time=time.time(), file_version="brain.Event:2")
        purge = Event(wall_time=time.time(), step=start + 1, session_log=SessionLog(status=SessionLog.START))
        self._append([opening, purge])

    def add(self, figures: dict[str, float], step: int) -> None:
        """One value for each name."""
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._append([Event(wall_time=time.time(), step=step, summary=Summary(value=[each])) for each in scalars])

    def _append(self, events: list[Event]) -> None:
        with open(self.path, "ab") as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())


class Journal:
    """One phase ("teacher" or "student") of a run folder; rows after ``start`` are dropped: a resumed run has no doubles.

    Where nothing was saved, ``start`` is 0, and a validation before the first update goes too: it is made again.
    """

    def __init__(self, folder: Path, phase: str, start: int, steps: int) -> None:
        self.phase, self.steps, self.start = phase, steps, start
        self.path = folder / "metrics.jsonl"
        self._drop_rows_after(start)
        try:
            self.board = Board(folder / "tensorboard", start)
        except OSError as error:
            raise UserError(f"cannot write {folder / 'tensorboard'}: {error.strerror}") from error
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(TextColumn("{task.description}"), *columns, console=console)

    def __enter__(self) -> Self:
        self.progress.start()
        self.bar = self.progress.add_task(self.phase, total=self.steps, completed=self.start, figures="")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def advance(self) -> None:
        """One step is done."""
        self.progress.advance(self.bar)

    def write(self, step: int, figures: dict[str, float]) -> None:
        """One row: ``figures`` after ``step`` updates.  UserError where it cannot be written."""
        row = {"step": step, "phase": self.phase, **figures}
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            self.board.add({f"{self.phase}/{name}": value for name, value in figures.items()}, step)
        except OSError as error:
            raise UserError(f"cannot write {error.filename or self.path}: {error.strerror}") from error
        shown = ("loss", "tokens_per_second", *(name for name in figures if name.startswith("valid_")))
        text = "  ".join(
            f"{name.replace('valid_', 'valid ').replace('tokens_per_second', 'tok/s')} {figures[name]:.4g}"
            for name in shown
            if name in figures
        )
        self.progress.update(self.bar, figures=text)
        if not console.is_terminal and step % max(1, self.steps // 10) == 0:
            console.print(f"{self.phase} {step}/{self.steps}  {text}")

    def _drop_rows_after(self, start: int) -> None:
        if not self.path.exists():
            return
        kept = []
        lines = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                later = row["phase"] == self.phase and (not start or row["step"] > start)
            except (ValueError, KeyError, TypeError):
                if number == len(lines):  # empty, or the torn last line of a killed run
                    break
                raise UserError(f"{self.path}:{number}: not a row of this file; remove the line") from None
            if not later:
                kept.append(line + b"\n")
        write_atomically(self.path, b"".join(kept))
