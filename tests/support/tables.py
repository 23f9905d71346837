"""Small tables in every format that users have."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.corpora import write_text
from textgen_env.data.columns import Columns
from textgen_env.data.corpus import Pairs

DE_EN = Columns(("de",), ("en",))
NAMES = {"train": "train", "valid": "dev", "test": "test"}
ROWS = [
    {"id": str(i), "de": f'Das "{i}", ja.', "en": f'That, "{i}"', "split": NAMES[split]}
    for i, split in enumerate(["train"] * 4 + ["valid"] * 2 + ["test"] * 2)
]
HASHED = [{"de": f"Satz {i}", "en": f"sentence {i}"} for i in range(40)]


def tsv(rows: list[dict[str, Any]]) -> bytes:
    return "".join(
        "\t".join(cells) + "\n" for cells in [[*rows[0]], *map(dict.values, rows)]
    ).encode()


def comma_separated(rows: list[dict[str, Any]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def json_list(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows).encode()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow", reason="the hub extra (datasets) is not installed")
    from pyarrow.parquet import write_table

    file = io.BytesIO()
    write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


FORMATS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    ".tsv": tsv,
    ".tsv.gz": tsv,
    ".csv": comma_separated,
    ".csv.gz": comma_separated,
    ".jsonl": json_lines,
    ".jsonl.gz": json_lines,
    ".json": json_list,
    ".parquet": parquet,
}


def save_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    write_text(path, FORMATS["".join(path.suffixes)](rows))
    return path


def expected_pairs(split: str) -> Pairs:
    rows = [row for row in ROWS if row["split"] == NAMES[split]]
    return Pairs([row["de"] for row in rows], [(row["en"],) for row in rows])
