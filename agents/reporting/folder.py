"""The run folder: read its log, write its report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.reporting.page import html
from agents.reporting.plots import curves
from agents.reporting.text import samples_text
from textgen_env.data.files import write_atomically
from textgen_env.errors import UserError


def write(
    folder: Path | str,
    results: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]],
    config_yaml: str,
) -> None:
    """Write ``curves.png``, ``samples.txt`` and ``report.html`` of a finished run.

    The teacher's curves come from its own folder, ``results["teacher"]["path"]``, where that holds a ``metrics.jsonl``.
    samples: ``{"index", "source", "reference", "teacher", "student"}`` each.  Raises UserError as ``read_metrics`` does.
    """
    teacher = (results.get("teacher") or {}).get("path")
    metrics = read_metrics(folder)
    if teacher and (Path(teacher) / "metrics.jsonl").is_file():
        metrics = [{**row, "phase": "teacher"} for row in read_metrics(teacher)] + metrics
    curves(folder, metrics)
    write_atomically(Path(folder) / "samples.txt", samples_text(samples).encode())
    html(folder, results, metrics, samples, config_yaml)


def read_metrics(folder: Path | str) -> list[dict[str, Any]]:
    """The rows of ``metrics.jsonl``, oldest first.  A last line that a killed process left unfinished is ignored.

    Raises UserError where the file is missing, or a finished line is not a JSON object.
    """
    path = Path(folder) / "metrics.jsonl"
    if not path.is_file():
        raise UserError(f"{path}: no such file; name the folder of a run")
    *finished, unfinished = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(finished, start=1):
        row = _parse(line)
        if row is None:
            raise UserError(
                f"{path}, line {number}: not a JSON object; remove the line to read the others"
            )
        rows.append(row)
    last = _parse(unfinished)
    return rows if last is None else [*rows, last]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
