"""Reads and checks a run's ``results.json``, which may be downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.runs.changes import CHANGE
from textgen_env.data.files import read_bytes
from textgen_env.data.schema import COUNT, MAYBE_NUMBER, NUMBER, SECONDS, parse_json
from textgen_env.errors import UserError

MAX_BYTES = 2**24
# What is used of it.
EXPORTED = {
    "exported_tokens_per_second": NUMBER,
    "batch_size": COUNT,
    "threads": COUNT,
    "device": str,
    "precision": str,
    "*": object,
}
COST = {"seconds": SECONDS, "validation_seconds?": SECONDS, "*": MAYBE_NUMBER}
TRAINING = {"steps": COUNT, "best_step": COUNT, "improved_step": COUNT, "stopped": str}
TEACHER = {"path": str | None, "parameters?": MAYBE_NUMBER, "training?": TRAINING, "*": object}
RESULTS: dict[str, Any] = {
    "corpus?": {"name": str, "source": str, "fingerprint": str, "*": object},
    "teacher?": TEACHER,
    "student?": {"parameters": MAYBE_NUMBER, "*": object},
    "training?": TRAINING,
    "scores?": {
        "*": {
            "signature?": str,
            "preprocessing?": str,
            "signatures?": {"*": str},
            "*": MAYBE_NUMBER,
        }
    },
    "speed?": {"speedup": MAYBE_NUMBER, "device?": str, "precision": str, "*": MAYBE_NUMBER},
    "cost?": COST,
    "profile?": {"*": NUMBER},
    "versions?": {"*": str},
    "exported?": {"*": [EXPORTED]},
    "changes?": [CHANGE],
    "*": object,
}


def read_results(path: Path) -> dict[str, Any]:
    """Read a ``results.json``; UserError if it is not JSON or a value has the wrong type."""
    data = read_bytes(path, MAX_BYTES)
    try:
        return parse_json(data, RESULTS, "results")  # type: ignore[no-any-return]
    except ValueError as error:
        remedy = f"delete it and rerun the command with out={path.parent} resume=true"
        raise UserError(f"{path} is corrupted ({error}): {remedy}") from error
