"""Reads and checks a run's ``results.json``, which may be downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from textgen_env.errors import UserError

# The types of the values that are used. "key?" may be missing; "*" stands for every other key.
NUMBER, MAYBE_NUMBER = int | float, int | float | None
EXPORTED = {
    "exported_tokens_per_second": NUMBER,
    "batch_size": int,
    "threads": int,
    "device": str,
    "precision": str,
}
TRAINING = {"steps": int, "best_step": int, "improved_step": int, "stopped": str}
RESULTS: dict[str, Any] = {
    "corpus?": {"name": str, "source": str, "fingerprint": str},
    "teacher?": {"path": str | None, "parameters?": MAYBE_NUMBER, "training?": TRAINING},
    "student?": {"parameters": MAYBE_NUMBER},
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
    "cost?": {"seconds": NUMBER, "validation_seconds?": NUMBER, "*": MAYBE_NUMBER},
    "profile?": {"*": NUMBER},
    "versions?": {"*": str},
    "exported?": {"*": [EXPORTED]},
}
MAX_NUMBER = 10**18


def read_results(path: Path) -> dict[str, Any]:
    """Read a ``results.json``; UserError if it is not JSON or a value has the wrong type."""
    try:
        results = json.loads(path.read_bytes())
        _check_type(results, RESULTS, "results")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        remedy = f"delete it and rerun the command with out={path.parent} resume=true"
        raise UserError(f"{path} is corrupted ({error}): {remedy}") from error
    return results  # type: ignore[no-any-return]


def _check_type(value: Any, schema: Any, name: str) -> None:
    """ValueError unless ``value`` matches ``schema``: a type, or a dict or list of schemas."""
    types = type(schema) if isinstance(schema, dict | list) else schema
    has_type = isinstance(value, types) and not isinstance(value, bool)
    if not has_type or (isinstance(value, int | float) and not abs(value) < MAX_NUMBER):
        raise ValueError(f"{name} is {json.dumps(value)[:20]}")
    if isinstance(schema, list):
        for item in value:
            _check_type(item, schema[0], name)
    if isinstance(schema, dict):
        if missing := [key for key in schema if key[-1] not in "?*" and key not in value]:
            raise ValueError(f"{name} has no {missing[0]}")
        for key, item in value.items():
            expected = schema.get(key) or schema.get(f"{key}?") or schema.get("*")
            if expected is not None:
                _check_type(item, expected, f"{name}.{key}")
