"""Reads recorded outputs of a model: text, TSV or JSON lines."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from textgen_env.data.columns import Columns
from textgen_env.data.corpus import Pairs
from textgen_env.data.files import is_blank, stream_lines
from textgen_env.data.tables import read_table, table_format
from textgen_env.errors import UserError

Output = tuple[str, float | None]  # a text and its score
Normalize = Callable[[str], str]


class Record(NamedTuple):
    """One row of a file.

    Attributes:
        where: FILE:LINE.
        source: None if the row has none.
        outputs: texts, possibly empty, and their scores; None if they have none.
    """

    where: str
    source: str | None
    outputs: list[Output]


class RecordedOutputs(NamedTuple):
    """The outputs for the sources of a split.

    Attributes:
        texts: those of each source, the best first; none where the file has only empty ones.
        repeated: outputs left out because the same source has them already.
        unused: rows left out because the split does not have their source.
    """

    texts: list[list[str]]
    repeated: int
    unused: int


def read_outputs(path: Path, pairs: Pairs, normalize: Normalize = str) -> RecordedOutputs:
    """Read the outputs for the sources of ``pairs``.

    - ``.tsv``: source, output and possibly a score; a first line with these names is skipped.
    - ``.jsonl`` or ``.json``: objects with ``output`` (or ``hypothesis``) and possibly ``source``
      and ``score``; or with ``outputs``, a list of texts or of objects with ``text`` and ``score``.
      This is what ``generate.py format=jsonl`` and ``score.py out=`` write.
    - any other name: one output per line.

    Rows with a source belong to every pair with that source; several rows of one source give it
    several outputs. Rows without a source are in the order of ``pairs``. Outputs are sorted by
    their scores, the highest first; without scores they keep their order.

    Args:
        path: the file, plain or ``.gz``.
        pairs: the split.
        normalize: the preprocessing of the split's texts.

    Raises:
        UserError: the file cannot be read, is malformed, or lacks a source of the split.
    """
    check_file(path)
    records = list(_records(path))
    scored = [score is not None for record in records for _, score in record.outputs]
    if any(scored) and not all(scored):
        raise UserError(f"{path}: only some of its outputs have a score; score all or none")
    sourced = [record.source is not None for record in records]
    if any(sourced) and not all(sourced):
        where = records[sourced.index(False)].where
        raise UserError(f"{where}: has no source, but other rows have one; add it")
    rows, unused = [record.outputs for record in records], 0
    if any(sourced):
        rows, unused = _by_source(path, records, pairs, normalize)
    elif len(rows) != len(pairs):
        raise UserError(
            f"{path}: {len(rows):,} outputs for {len(pairs):,} sources; give one per source in "
            "their order, or the sources too, as .tsv or .jsonl"
        )
    texts, repeated = [], 0
    for outputs in rows:
        best = sorted(outputs, key=lambda output: -(output[1] or 0.0))
        visible = [text for text, _ in best if not is_blank(text)]
        distinct = list(dict.fromkeys(map(normalize, visible)))
        repeated += len(visible) - len(distinct)
        texts.append(distinct)
    if not any(texts):
        raise UserError(f"{path}: every output is empty")
    return RecordedOutputs(texts, repeated, unused)


def sha256(path: Path) -> str:
    """The hash of a file."""
    check_file(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path) -> None:
    """UserError unless ``path`` is a file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; name a file of the teacher's outputs")


def _by_source(
    path: Path, records: list[Record], pairs: Pairs, normalize: Normalize
) -> tuple[list[list[Output]], int]:
    """The outputs for each pair, and the number of records that belong to none."""
    known, unused = set(pairs.sources), 0
    outputs: dict[str, list[Output]] = {}
    for record in records:
        source = record.source or ""
        # the split's sources are preprocessed; those of the file may be, too
        source = source if source in known else normalize(source)
        unused += source not in known
        outputs.setdefault(source, []).extend(record.outputs)
    missing = [row for row, source in enumerate(pairs.sources) if source not in outputs]
    if missing:
        raise UserError(
            f"{path}: no output for {len(missing):,} of {len(pairs):,} sources, first for number "
            f"{missing[0] + 1}, {pairs.sources[missing[0]][:60]!r}; add a row, with an empty "
            "output if there is none"
        )
    return [outputs[source] for source in pairs.sources], unused


def _records(path: Path) -> Iterator[Record]:
    suffix = table_format(path.name)
    if suffix == ".tsv":
        yield from _tsv_records(path)
    elif suffix in (".jsonl", ".json"):
        for where, row in read_table(path, Columns()):
            yield _json_record(where, row)
    elif suffix:
        raise UserError(f"{path}: outputs are read from .tsv, .jsonl or plain text, not {suffix}")
    else:
        for number, line in enumerate(stream_lines(path), 1):
            yield Record(f"{path}:{number}", None, [(line, None)])


def _tsv_records(path: Path) -> Iterator[Record]:
    for number, line in enumerate(stream_lines(path), 1):
        where, cells = f"{path}:{number}", line.split("\t")
        if number == 1 and cells[:2] == ["source", "output"]:
            continue
        if len(cells) not in (2, 3):
            raise UserError(
                f"{where}: expected source, output and possibly a score between tabs, "
                f"got {len(cells)} cells"
            )
        score = _score(cells[2], where) if len(cells) == 3 else None
        yield Record(where, cells[0], [(cells[1], score)])


def _json_record(where: str, row: dict[str, Any]) -> Record:
    source = row.get("source")
    if not isinstance(source, str | None):
        raise UserError(f"{where}: source must be a string, got {str(source)[:40]}")
    name = next((name for name in ("outputs", "output", "hypothesis") if name in row), None)
    if name is None:
        raise UserError(f"{where}: no output (its columns: {', '.join(row)[:80] or 'none'})")
    items = row[name] if isinstance(row[name], list) else [{"text": row[name]} | row]
    outputs = []
    for item in items:
        output = item if isinstance(item, dict) else {"text": item}
        text, score = output.get("text"), output.get("score")
        if not isinstance(text, str | None):
            raise UserError(f"{where}: {name} must be a string, got {str(text)[:40]}")
        outputs.append((text or "", None if score is None else _score(score, where)))
    return Record(where, source, outputs)


def _score(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, bool):
        raise UserError(f"{where}: the score must be a number, got {str(value)[:40]!r}")
    return number
