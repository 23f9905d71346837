"""Logs a training run to metrics.jsonl, a progress bar and the writers that the user chose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from rich import progress

from agents.training.writers import Writer
from textgen_env.data.files import read_rows, write_atomically
from textgen_env.data.schema import COUNT, METRIC
from textgen_env.errors import UserError
from textgen_env.terminal import console

ROW = {"step": COUNT, "phase": str, "*": METRIC}  # of metrics.jsonl


class Logger:
    """The log of one phase of a run, "teacher" or "student".

    Rows of this phase after step ``start`` are dropped, as a resumed run logs them again. With
    ``start`` 0 nothing was saved, so the row of a validation before the first step is dropped too.
    """

    def __init__(
        self, folder: Path, phase: str, start: int, steps: int, writers: Sequence[Writer]
    ) -> None:
        self.phase, self.steps, self.start, self.writers = phase, steps, start, writers
        self.path = folder / "metrics.jsonl"
        self._drop_rows_after(start)
        self.progress = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[metrics]}"),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=console,
        )

    def __enter__(self) -> Self:
        self.progress.start()
        self.bar = self.progress.add_task(
            self.phase, total=self.steps, completed=self.start, metrics=""
        )
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()
        for writer in self.writers:
            writer.close()

    def advance(self) -> None:
        """Move the progress bar by one step."""
        self.progress.advance(self.bar)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Log ``metrics`` after ``step`` updates; UserError if they cannot be written."""
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "phase": self.phase, **metrics}) + "\n")
            for writer in self.writers:
                writer.log(step, metrics)
        except OSError as error:
            path = error.filename or self.path
            raise UserError(f"cannot write {path}: {error.strerror}") from error
        shown = ["loss", "tokens_per_second", *(name for name in metrics if "valid_" in name)]
        text = "  ".join(f"{name} {metrics[name]:.4g}" for name in shown if name in metrics)
        text = text.replace("tokens_per_second", "tok/s").replace("valid_", "valid ")
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
