"""Checks the JSON of files that may be downloaded, damaged or hostile against a schema.

A schema is a type (``str``, ``int | None``, ``object`` for anything), a pair of a type and the
range of its numbers (None: any), a list with the schema of every item, or a dict with the schema of
every key.
In a dict, a key that ends in "?" may be missing, and "*" stands for all other keys; without "*",
other keys are refused.
"""

from __future__ import annotations

import json
from typing import Any, get_args

from textgen_env.errors import Range

Schema = Any

MAX_DEPTH = 32
MAX_NUMBER = 10**18
FINITE = Range(-MAX_NUMBER, MAX_NUMBER)
COUNT = (int, Range(0, MAX_NUMBER))
SECONDS = (int | float, Range(0, MAX_NUMBER))
NUMBER = (int | float, FINITE)
MAYBE_NUMBER = (int | float | None, FINITE)
METRIC = (int | float, None)  # also NaN and infinity


def parse_json(data: bytes | str, schema: Schema, name: str) -> Any:
    """Parse JSON and check it; ``name`` names its value in errors.

    Raises:
        ValueError: It is not JSON, nested too deeply, or does not match ``schema``.
    """
    try:
        value = json.loads(data)
        check(value, schema, name)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None
    return value


def json_or_none(text: str) -> Any:
    """The value of JSON, or None for other text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def check(value: Any, schema: Schema, name: str, depth: int = 0) -> None:
    """Check a value that JSON or YAML was parsed to.

    Raises:
        ValueError: It does not match ``schema``, such as "results.cost has no seconds".
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"{name[:40]}… is nested too deeply")
    if schema is object and isinstance(value, dict | list):
        schema = {"*": object} if isinstance(value, dict) else [object]
    types, allowed = schema if isinstance(schema, tuple) else (schema, None)
    types = type(schema) if isinstance(schema, dict | list) else types
    # The exact type, as a bool is an int too.
    valid = types is object or type(value) in (get_args(types) or (types,))
    if type(value) is int:
        allowed = allowed or FINITE
    if isinstance(value, int | float) and allowed and value not in allowed:
        valid = False
    if not valid:
        raise ValueError(f"{name} is {json.dumps(value)[:20]}")
    if isinstance(value, str):
        value.encode()  # UnicodeEncodeError, a ValueError, for half a character
    if isinstance(schema, list):
        for item in value:
            check(item, schema[0], name, depth + 1)
    if isinstance(schema, dict):
        if missing := [key for key in schema if key[-1] not in "?*" and key not in value]:
            raise ValueError(f"{name} has no {missing[0]}")
        for key, item in value.items():
            place = f"{name}.{key}"
            expected = next((schema[k] for k in (key, f"{key}?", "*") if k in schema), None)
            if expected is None:
                raise ValueError(f"{place} is unknown")
            check(item, expected, place, depth + 1)
