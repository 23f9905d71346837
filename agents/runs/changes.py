"""What a resume changed in the settings of a run: one JSON line per key in ``changes.jsonl``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from textgen_env.data.files import read_rows, write_atomically
from textgen_env.data.schema import COUNT

CHANGES = "changes.jsonl"
CHANGE = {"step": COUNT, "key": str, "before": object, "after": object}


def read_changes(folder: Path) -> list[dict[str, Any]]:
    """The changes of the run in ``folder``, oldest first; none if it never changed."""
    path = folder / CHANGES
    return [row for _, row in read_rows(path, CHANGE)] if path.exists() else []


def record_changes(folder: Path, step: int, changed: dict[str, tuple[Any, Any]]) -> None:
    """Add ``{key: (before, after)}``, which apply to the updates after ``step``."""
    rows = read_changes(folder)
    for key, (before, after) in changed.items():
        row = {"step": step, "key": key, "before": before, "after": after}
        if row not in rows:  # as a resume that was killed before it saved the settings is repeated
            rows.append(row)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write_atomically(folder / CHANGES, lines.encode())


def describe_changes(folder: Path) -> str:
    """The changes as YAML comments, one a line."""
    return "".join(
        f"# after step {row['step']:,}: {row['key']} {json.dumps(row['before'])} → "
        f"{json.dumps(row['after'])}\n"
        for row in read_changes(folder)
    )
