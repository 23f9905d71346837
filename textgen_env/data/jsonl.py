"""Documents and their summaries in JSON Lines files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.files import stream_lines
from textgen_env.data.folders import check_folder, find_split
from textgen_env.data.readers import check_length, normalize_spaces
from textgen_env.data.scope import current_scope
from textgen_env.errors import UserError

# Names of a field; the first one present is used.
DOCUMENT = ("document", "dialogue", "article", "text", "source")
SUMMARY = ("summary", "highlights", "target")
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_summaries(folder: Path) -> Corpus:
    """Read ``{train,valid,test}.jsonl``, plain or ``.gz``, one document and its summaries per line.

    The document is in a field of ``DOCUMENT``. Its summaries are in a field of ``SUMMARY``, as a
    string or a list of strings, or in numbered fields (``summary1``, ``summary2``, …). All lines of
    a file have the same number of summaries; the first is the training target. White space,
    including line breaks, is normalized to single spaces.

    Raises:
        UserError: A file is missing or a line is invalid.
    """
    check_folder(folder)
    splits = {}
    for split in current_scope().splits:
        (path,) = find_split(folder, split, "jsonl")
        splits[split] = pairs = read_pairs(path)
        counts = [len(summaries) for summaries in pairs.references]
        other = next((line for line, count in enumerate(counts, 1) if count != counts[0]), None)
        if other is not None:
            raise UserError(
                f"{path}:{other}: {counts[other - 1]} summaries, but line 1 has {counts[0]}; "
                "give all lines the same number"
            )
    return Corpus(folder.resolve().name, "local", str(folder), splits)


def read_pairs(path: Path) -> Pairs:
    """Read one file of documents and summaries.

    Raises:
        UserError: A line is not a JSON object, lacks a field, or has an empty text. The message
            names the file and the line.
    """
    sources, references = [], []
    for number, line in enumerate(stream_lines(path), 1):
        where = f"{path}:{number}"
        try:
            row = json.loads(line, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{where}: not JSON ({error.msg}, column {error.colno}); write one object per line"
            ) from None
        except ValueError as error:  # a duplicate field, or a number of thousands of digits
            raise UserError(f"{where}: cannot be parsed ({error})") from None
        except RecursionError:
            raise UserError(f"{where}: too deeply nested; write one flat object per line") from None
        if not isinstance(row, dict):
            raise UserError(
                f"{where}: expected an object such as "
                f'{{"document": …, "summary": …}}, got {line[:40]}'
            )
        (document,) = _texts(row, DOCUMENT, where, several=False)
        sources.append(document)
        references.append(_texts(row, SUMMARY, where, several=True))
    return Pairs(sources, references)


def _texts(row: dict[str, Any], names: Sequence[str], where: str, several: bool) -> tuple[str, ...]:
    """The texts in the first field of ``names`` that ``row`` has."""
    name = next((name for name in names if name in row or (several and f"{name}1" in row)), None)
    if name is None:
        others, fields = ", ".join(names[1:]), ", ".join(row) or "none"
        raise UserError(f"{where}: no field {names[0]} (or {others}); its fields: {fields}")
    value = row[name] if name in row else _numbered(row, name, where)
    texts = value if several and isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        expected = "a string or a list of strings" if several else "a string"
        raise UserError(f"{where}: {name} must be {expected}, got {_excerpt(value)}")
    normalized = tuple(
        check_length(normalize_spaces(str(text)), f"{where}: {name}") for text in texts
    )
    if not all(normalized):
        raise UserError(f"{where}: {name} is empty; delete the line, or add the text")
    if any(map(_SURROGATE.search, normalized)):
        raise UserError(
            f"{where}: {name} has an unpaired surrogate (half a character, such as \\ud800); "
            "complete it"
        )
    return normalized


def _numbered(row: dict[str, Any], name: str, where: str) -> list[Any]:
    """The values of ``summary1``, ``summary2``, … up to the first missing number."""
    missing = next(number for number in range(1, len(row) + 2) if f"{name}{number}" not in row)
    for key in row:
        suffix = key.removeprefix(name)
        if suffix.isdecimal() and int(suffix) > missing:
            raise UserError(f"{where}: {key} without {name}{missing}; number them without gaps")
    return [row[f"{name}{number}"] for number in range(1, missing)]


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a dict; ValueError for a duplicate field, of which ``json`` would keep the last."""
    row = dict(fields)
    if len(row) < len(fields):
        names = [name for name, _ in fields]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"duplicate field {duplicate}")
    return row


def _excerpt(value: Any) -> str:
    """The beginning of ``value`` as JSON."""
    try:
        return json.dumps(value)[:40]
    except RecursionError:  # parsing just fit into the recursion limit
        return "deeply nested lists"
