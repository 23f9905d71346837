"""What a training writes down as it goes: metrics.jsonl, TensorBoard events and a progress bar."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

console = Console(stderr=True, highlight=False)


class Journal:
    """One phase ("teacher" or "student") of a run folder; rows after ``start`` are dropped: a resumed run has no doubles."""

    def __init__(self, folder: Path, phase: str, start: int, steps: int) -> None:
        self.phase, self.steps, self.start = phase, steps, start
        self.path = folder / "metrics.jsonl"
        self._drop_rows_after(start)
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=start)
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
        self.board.close()

    def advance(self) -> None:
        """One step is done."""
        self.progress.advance(self.bar)

    def write(self, step: int, figures: dict[str, float]) -> None:
        """One row: ``figures`` after ``step`` updates."""
        row = {"step": step, "phase": self.phase, **figures}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in figures.items():
            self.board.add_scalar(f"{self.phase}/{name}", value, step)
        shown = ("loss", "tokens_per_second", *(name for name in figures if name.startswith("valid_")))
        text = "  ".join(
            f"{name.replace('valid_', 'valid ').replace('tokens_per_second', 'tok/s')} {figures[name]:.4g}" for name in shown
        )
        self.progress.update(self.bar, figures=text)
        if not console.is_terminal and step % max(1, self.steps // 10) == 0:
            console.print(f"{self.phase} {step}/{self.steps}  {text}")

    def _drop_rows_after(self, start: int) -> None:
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8").split("\n"):
            try:
                row = json.loads(line)
            except json.JSONDecodeError:  # the torn last line of a killed run
                continue
            if row["phase"] != self.phase or row["step"] <= start:
                kept.append(line + "\n")
        self.path.write_text("".join(kept), encoding="utf-8")
