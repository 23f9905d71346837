"""Rows of tables: TSV, CSV, JSON Lines, Parquet, and the Arrow files of ``save_to_disk``."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from textgen_env.data.columns import Columns
from textgen_env.data.files import MAX_FILE, MAX_LINES, read_text, stream_lines
from textgen_env.data.schema import json_or_none
from textgen_env.errors import UserError

TEXT = (".tsv", ".csv", ".jsonl", ".json")  # plain or .gz
FORMATS = (*TEXT, ".parquet")
BATCH = 1000  # rows of a Parquet or Arrow file that are in memory at once

Row = tuple[str, dict[str, Any]]  # the place, such as FILE:LINE, and the values by column


def table_format(name: str) -> str:
    """The suffix in ``FORMATS`` of a table's file name, without ``.gz``; empty for other files."""
    suffix = Path(name.removesuffix(".gz")).suffix
    return suffix if suffix in (TEXT if name.endswith(".gz") else FORMATS) else ""


def read_table(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a file, whose suffix names its format.

    - ``.tsv``: cells are separated by tabs; quotes are part of the text.
    - ``.csv``: cells are separated by commas and may be quoted, also over several lines.
    - ``.jsonl``: one JSON object per line. ``.json``: the same, or a list of objects.
    - ``.parquet``: only the columns that are needed are read.

    The first line of a TSV or CSV file names the columns, unless ``columns`` are numbers.

    Raises:
        UserError: The file is damaged or has another format. The message names file and line.
    """
    suffix = table_format(path.name)
    if suffix == ".parquet":
        yield from _parquet_rows(path, columns)
    elif suffix in (".tsv", ".csv"):
        lines = ((number, line.split("\t")) for number, line in enumerate(stream_lines(path), 1))
        yield from _delimited_rows(path, _csv_cells(path) if suffix == ".csv" else lines, columns)
    else:
        yield from _json_rows(path, suffix)


def read_texts(
    rows: Iterable[Row], columns: Columns, required: bool = True
) -> Iterator[tuple[str, dict[str, Any], str, tuple[str, ...]]]:
    """Yield the place, the row, its source and its references, within the limits of text files."""
    size = 0
    for number, (where, row) in enumerate(rows, 1):
        source, references = columns.texts(row, where, required)
        size += len(source) + sum(map(len, references))
        if number > MAX_LINES:
            raise UserError(f"{where}: more than {MAX_LINES:,} rows (the limit); use fewer")
        if size > MAX_FILE:
            raise UserError(
                f"{where}: more than {MAX_FILE:,} characters of text (the limit); use less text"
            )
        yield where, row, source, references


def arrow_rows(folder: Path, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a folder of ``Dataset.save_to_disk``.

    Its Arrow files are read directly, so nothing that the folder names is imported or opened.

    Raises:
        UserError: A file is missing or damaged, or ``state.json`` names one outside the folder.
    """
    state, number = folder / "state.json", 0
    pyarrow = _import_pyarrow(folder)
    for file in read_list(state, "_data_files"):
        name = file.get("filename") if isinstance(file, dict) else None
        if not isinstance(name, str) or not re.fullmatch(r"[\w=-][\w.=-]*\.arrow", name):
            raise UserError(f"{state}: {str(name)[:60]!r} is not an Arrow file of this folder")
        path = folder / name
        with _damage(path, pyarrow), pyarrow.memory_map(str(path)) as data:
            reader = pyarrow.ipc.open_stream(data)
            wanted = columns.needed(reader.schema.names, str(path))
            for batch in reader:
                for row in batch.select(wanted).to_pylist():
                    number += 1
                    yield f"{folder}, row {number:,}", row


def read_list(path: Path, key: str) -> list[Any]:
    """The list ``key`` of a JSON file that ``save_to_disk`` wrote."""
    content = json_or_none(read_text(path))
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise UserError(f"{path} has no list {key}; save the dataset again")
    return content[key]  # type: ignore[no-any-return]


def _delimited_rows(
    path: Path, cells: Iterable[tuple[int, list[str]]], columns: Columns
) -> Iterator[Row]:
    names: list[str] = []
    for line, row in cells:
        if row in ([], [""]):
            raise UserError(f"{path}:{line}: empty line; delete it, or add the text")
        if not names:
            names = [str(i) for i in range(1, len(row) + 1)]
            if not columns.are_numbers:
                names = [" ".join(name.split()) for name in row]
                try:
                    columns.needed(names, f"{path}:1")
                except UserError as error:
                    raise UserError(f"{error}{columns.header_hint}") from None
                continue
        if len(row) != len(names):
            raise UserError(
                f"{path}:{line}: number of columns is {len(row)}, but {len(names)} in the first "
                "line; a cell may have a stray separator or quote"
            )
        yield f"{path}:{line}", dict(zip(names, row, strict=True))


def _csv_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The first line and the cells of every row."""
    reader, start = csv.reader((f"{line}\n" for line in stream_lines(path)), strict=True), 1
    try:
        for row in reader:
            yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}:{start}: cannot be parsed as CSV ({error}); check the quotes of the row that "
            "begins here"
        ) from None


def _json_rows(path: Path, suffix: str) -> Iterator[Row]:
    if suffix == ".json":
        text = read_text(path)
        if text.lstrip().startswith("["):
            for number, row in enumerate(_parse(text, str(path)), 1):
                yield _checked_object(row, f"{path}, row {number:,}", repr(row))
            return
    for number, line in enumerate(stream_lines(path), 1):
        yield _checked_object(_parse(line, f"{path}:{number}"), f"{path}:{number}", line)


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where}: not JSON ({error.msg}, column {error.colno}); write one object per line"
        ) from None
    except ValueError as error:  # a duplicate column, or a number of thousands of digits
        raise UserError(f"{where}: cannot be parsed ({error})") from None
    except RecursionError:
        raise UserError(f"{where}: too deeply nested; write one flat object per line") from None


def _checked_object(row: Any, where: str, text: str) -> Row:
    if not isinstance(row, dict):
        raise UserError(
            f'{where}: expected an object such as {{"source": …, "target": …}}, got {text[:40]}'
        )
    return where, row


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a dict; ValueError for a duplicate column, of which ``json`` would keep the last."""
    row = dict(fields)
    if len(row) < len(fields):
        names = [name for name, _ in fields]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"duplicate column {duplicate}")
    return row


def _parquet_rows(path: Path, columns: Columns) -> Iterator[Row]:
    pyarrow, number = _import_pyarrow(path), 0
    from pyarrow.parquet import ParquetFile

    with _damage(path, pyarrow), ParquetFile(str(path)) as file:
        wanted = columns.needed(file.schema_arrow.names, str(path))
        for batch in file.iter_batches(BATCH, columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}, row {number:,}", row


def _import_pyarrow(path: Path) -> ModuleType:
    try:
        import pyarrow
    except ImportError:
        raise UserError(
            f"{path}: Parquet and Arrow files need pyarrow: "
            "python -m pip install -c constraints.txt -e '.[hub]'"
        ) from None
    return pyarrow  # type: ignore[no-any-return]


@contextmanager
def _damage(path: Path, pyarrow: ModuleType) -> Iterator[None]:
    """Report what pyarrow raises about a file as one line."""
    try:
        yield
    except UserError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: cannot be read ({reason}); copy it again") from None
