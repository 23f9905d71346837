"""Documents and their summaries as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textgen_env.data.corpus import SPLITS, Corpus, Pairs
from textgen_env.data.files import stream_lines
from textgen_env.data.folders import check_folder, find_split
from textgen_env.data.readers import check_length, clean
from textgen_env.errors import UserError

DOCUMENT = (
    "document",
    "dialogue",
    "article",
    "text",
    "source",
)  # the field's names, the first that is there counts
SUMMARY = ("summary", "highlights", "target")


def read_summaries(folder: Path) -> Corpus:
    """``{train,valid,test}.jsonl``, plain or ``.gz``: a document and its summaries a line.

    The document's field is one of ``DOCUMENT``; the summary's one of ``SUMMARY``, a text or a list of texts, or numbered
    (``summary1``, ``summary2``, …).  All lines of a file have equally many summaries; the first one is the training target.
    White space, line ends included, is normalized to single blanks.
    """
    check_folder(folder)
    splits = {}
    for split in SPLITS:
        (path,) = find_split(folder, split, "jsonl")
        splits[split] = pairs = read_pairs(path)
        counts = [len(summaries) for summaries in pairs.references]
        other = next((line for line, count in enumerate(counts, 1) if count != counts[0]), None)
        if other is not None:
            raise UserError(
                f"{path}:{other}: {counts[other - 1]} summaries, but line 1 has {counts[0]}; give all as many"
            )
    return Corpus(folder.resolve().name, "local", str(folder), splits)


def read_pairs(path: Path) -> Pairs:
    """One file.  UserError with file and line where a line is no JSON object or lacks a field, or a text is empty."""
    sources, references = [], []
    for number, line in enumerate(stream_lines(path), 1):
        where = f"{path}:{number}"
        try:
            row = json.loads(line, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{where}: not JSON ({error.msg}, column {error.colno}); write one object a line"
            ) from None
        except ValueError as error:  # a field given twice, a number of thousands of digits
            raise UserError(f"{where}: cannot be read ({error})") from None
        except RecursionError:
            raise UserError(
                f"{where}: brackets within brackets without end; write one object a line"
            ) from None
        if not isinstance(row, dict):
            raise UserError(
                f'{where}: write an object such as {{"document": …, "summary": …}}, not {line[:40]}'
            )
        (document,) = _texts(row, DOCUMENT, where, several=False)
        sources.append(document)
        references.append(_texts(row, SUMMARY, where, several=True))
    return Pairs(sources, references)


def _texts(row: dict[str, Any], names: Sequence[str], where: str, several: bool) -> tuple[str, ...]:
    """The texts in the first of the fields ``names`` that ``row`` has."""
    name = next((name for name in names if name in row or (several and f"{name}1" in row)), None)
    if name is None:
        raise UserError(
            f"{where}: no {names[0]} (or {', '.join(names[1:])}); its fields: {', '.join(row) or 'none'}"
        )
    value = row[name] if name in row else _numbered(row, name, where)
    texts = value if several and isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UserError(
            f"{where}: {name} is {_excerpt(value)}; give a text{' or a list of texts' if several else ''}"
        )
    cleaned = tuple(check_length(clean(str(text)), f"{where}: {name}") for text in texts)
    if not all(cleaned):
        raise UserError(f"{where}: {name} is empty; delete the line, or write the text")
    if any(
        "\ud800" <= character <= "\udfff"
        for text in cleaned
        if not text.isascii()
        for character in text
    ):
        raise UserError(
            f"{where}: {name} has half a character (an unpaired \\ud800 escape); write the whole one"
        )
    return cleaned


def _numbered(row: dict[str, Any], name: str, where: str) -> list[Any]:
    """``summary1``, ``summary2``, … as long as they go on."""
    count = next(number for number in range(1, len(row) + 2) if f"{name}{number}" not in row)
    if stray := [
        key
        for key in row
        if key.removeprefix(name).isdecimal() and int(key.removeprefix(name)) > count
    ]:
        raise UserError(f"{where}: {stray[0]} without {name}{count}; number them without a gap")
    return [row[f"{name}{number}"] for number in range(1, count)]


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; ValueError where a field is given twice, of which Python would keep the last."""
    row = dict(fields)
    if len(row) < len(fields):
        names = [name for name, _ in fields]
        raise ValueError(
            f"the field {next(name for name in names if names.count(name) > 1)} is given twice"
        )
    return row


def _excerpt(value: Any) -> str:
    """How ``value`` starts, as JSON."""
    try:
        return json.dumps(value)[:40]
    except RecursionError:  # it was read, but at the very limit
        return "brackets within brackets"
