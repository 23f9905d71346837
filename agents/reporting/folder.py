"""Read a run folder's log and write its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.reporting.text import samples_text
from agents.training.logger import ROW
from textgen_env.data.files import read_rows, write_atomically
from textgen_env.errors import UserError


def save_report(
    folder: Path | str,
    results: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]],
    config_yaml: str,
) -> None:
    """Write ``curves.png``, ``samples.txt`` and ``report.html`` of a finished run.

    Args:
        folder: The run folder, with its ``metrics.jsonl``.
        results: The contents of ``results.json``. If ``results["teacher"]["path"]`` has a
            ``metrics.jsonl``, the teacher's training curves are included.
        samples: ``{"index", "source", "reference", "teacher", "student"}`` each.
        config_yaml: The run's settings as text.

    Raises:
        UserError: As in ``read_metrics``.
    """
    from agents.reporting.page import save_html  # they import matplotlib, which is slow
    from agents.reporting.plots import save_curves

    teacher = (results.get("teacher") or {}).get("path")
    metrics = read_metrics(folder)
    if teacher and (Path(teacher) / "metrics.jsonl").is_file():
        metrics = [{**row, "phase": "teacher"} for row in read_metrics(teacher)] + metrics
    save_curves(folder, metrics)
    write_atomically(Path(folder) / "samples.txt", samples_text(samples).encode())
    save_html(folder, results, metrics, samples, config_yaml)


def read_metrics(folder: Path | str) -> list[dict[str, Any]]:
    """The rows of ``metrics.jsonl``, oldest first; an incomplete last line is ignored.

    Raises:
        UserError: The file is missing, or a complete line is not a row of metrics.
    """
    path = Path(folder) / "metrics.jsonl"
    if not path.is_file():
        raise UserError(f"{path}: no such file; name a run folder")
    return [row for _, row in read_rows(path, ROW)]
