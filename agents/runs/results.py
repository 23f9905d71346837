"""``results.json`` of a run: reading it from a folder that may come from the net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from textgen_env.errors import UserError

# The type of every value that is read from a results.json.  "key?": it may be missing; "*": every other key.
NUMBER, MAYBE_NUMBER = int | float, int | float | None
EXPORTED = {
    "exported_tokens_per_second": NUMBER,
    "batch_size": int,
    "threads": int,
    "device": str,
    "precision": str,
}
RESULTS: dict[str, Any] = {
    "corpus?": {"name": str, "source": str, "fingerprint": str},
    "teacher?": {"path": str | None, "parameters?": MAYBE_NUMBER},
    "student?": {"parameters": MAYBE_NUMBER},
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
LARGEST = 10**18  # number in a results.json


def read_results(path: Path) -> dict[str, Any]:
    """The content of ``path``, a run's ``results.json``; UserError where it is torn or a value has another type."""
    try:
        results = json.loads(path.read_bytes())
        _check_type(results, RESULTS, "results")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        remedy = f"delete it and repeat the run's command with out={path.parent} resume=true"
        raise UserError(f"{path} is damaged ({error}): {remedy}") from error
    return results  # type: ignore[no-any-return]


def _check_type(value: Any, kind: Any, where: str) -> None:
    """ValueError unless ``value`` is of ``kind``: a type, or, for an object or a list, the kinds of its content."""
    fits = isinstance(
        value, type(kind) if isinstance(kind, dict | list) else kind
    ) and not isinstance(value, bool)
    if not fits or (isinstance(value, int | float) and not abs(value) < LARGEST):
        raise ValueError(f"{where} is {json.dumps(value)[:20]}")
    if isinstance(kind, list):
        for entry in value:
            _check_type(entry, kind[0], where)
    if isinstance(kind, dict):
        if missing := [key for key in kind if key[-1] not in "?*" and key not in value]:
            raise ValueError(f"{where} has no {missing[0]}")
        for key, entry in value.items():
            expected = kind.get(key) or kind.get(f"{key}?") or kind.get("*")
            if expected is not None:
                _check_type(entry, expected, f"{where}.{key}")
