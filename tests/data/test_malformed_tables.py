"""Tables and folders that are refused, each in one line that names the place."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.corpora import error_message, write_parallel, write_text
from support.tables import DE_EN, HASHED, save_table
from textgen_env.data import tables
from textgen_env.data.columns import Columns
from textgen_env.data.local import read_local

# name: (file, content, the beginning of the message after the folder)
GOOD = b"de\ten\neins\tone\n"
MALFORMED = {
    "wrong column": ("a.tsv", b"dee\ten\neins\tone\n", "a.tsv:1: no column de; did you mean dee?"),
    "wrong column of JSON": (
        "a.jsonl",
        b'{"de": "a", "em": "b"}\n',
        "a.jsonl:1: no column en; d",
    ),
    "ragged TSV": ("a.tsv", GOOD + b"zwei\n", "a.tsv:3: number of columns is 1, but 2"),
    "ragged CSV": ("a.csv", b"de,en\na,b\nc,d,e\n", "a.csv:3: number of columns is 3, but 2"),
    "stray tab": ("a.tsv", GOOD + b"a\tb\tc\n", "a.tsv:3: number of columns is 3, but 2"),
    "empty line": ("a.tsv", GOOD + b"\nzwei\ttwo\n", "a.tsv:3: empty line"),
    "empty line of CSV": ("a.csv", b"de,en\na,b\n\n", "a.csv:3: empty line"),
    "not UTF-8": ("a.tsv", GOOD + b"fr\xe4h\tearly\n", "a.tsv:3: byte 0xe4 is not UTF-8"),
    "not UTF-8 CSV": ("a.csv", b"de,en\nfr\xe4h,b\n", "a.csv:2: byte 0xe4 is not UTF-8"),
    "empty file": ("a.tsv", b"", "a.tsv: the file is empty"),
    "empty CSV": ("a.csv", b"", "a.csv: the file is empty"),
    "empty JSON": ("a.json", b"", "a.json: the file is empty"),
    "header alone": ("a.csv", b"de,en\n", "a.csv has no rows"),
    "empty list": ("a.json", b"[]", "a.json has no rows"),
    "empty cell": ("a.tsv", GOOD + b"zwei\t \n", "a.tsv:3: en is empty"),
    "empty cell of CSV": ("a.csv", b'de,en\n"",b\n', "a.csv:2: de is empty"),
    "null": ("a.jsonl", b'{"de": null, "en": "b"}\n', "a.jsonl:1: de is empty"),
    "duplicate header": ("a.tsv", b"de\ten\tde\n", "a.tsv:1: two columns are named 'de'"),
    "duplicate CSV header": ("a.csv", b"en,de,en\n", "a.csv:1: two columns are named 'en'"),
    "duplicate field": ("a.jsonl", b'{"de": "a", "de": "b"}\n', "a.jsonl:1: cannot be parsed (dup"),
    "unknown split": (
        "a.tsv",
        b"de\ten\tsplit\neins\tone\ttrain\nzwei\ttwo\ttraim\n",
        "a.tsv:3: unknown split 'traim'; did you mean 'train'?",
    ),
    "split that is no text": (
        "a.jsonl",
        b'{"de": "a", "en": "b", "split": ["x"]}\n',
        "a.jsonl:1: unknown split",
    ),
    "missing split": (
        "a.tsv",
        b"de\ten\tsplit\neins\tone\ttrain\nzwei\ttwo\ttest\n",
        "a.tsv: no row has the split valid",
    ),
    "split for some": (
        "a.jsonl",
        b'{"de": "a", "en": "b", "split": "test"}\n{"de": "a", "en": "b"}\n',
        "a.jsonl:2: only some rows have a split",
    ),
    "too few rows": ("a.tsv", GOOD, "a.tsv: 1 different sources are too few for a split by hash"),
    "open quote": ("a.csv", b'de,en\na,b\n"c,d\ne,f\n', "a.csv:3: cannot be parsed as CSV"),
    "text after a quote": ("a.csv", b'de,en\n"a"b,c\n', "a.csv:2: cannot be parsed as CSV"),
    "open quote and a long file": (
        "a.csv",
        b'de,en\n"a,b\n' + b"c,d\n" * 50_000,
        "a.csv:2: cannot be parsed as CSV",
    ),
    "number": ("a.jsonl", b'{"de": 3, "en": "b"}\n', "a.jsonl:1: de must be a string, got 3"),
    "nested": ("a.jsonl", b'{"de": "a", "en": {"x": 1}}\n', "a.jsonl:1: en must be a string or a"),
    "nested list": (
        "a.jsonl",
        b'{"de": "a", "en": [["b"]]}\n',
        "a.jsonl:1: en must be a string",
    ),
    "list of no objects": ("a.json", b"[1]", "a.json, row 1: expected an object"),
    "not JSON": ("a.json", b"[", "a.json: not JSON"),
    "truncated JSON": ("a.jsonl", b'{"de": "a", "e', "a.jsonl:1: not JSON"),
    "no gzip": ("a.csv.gz", None, "a.csv.gz: incomplete gzip file"),
    "no Parquet": ("a.parquet", GOOD, "a.parquet: cannot be read ("),
    "empty Parquet": ("a.parquet", b"", "a.parquet: cannot be read ("),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    file, content, message = MALFORMED[name]
    if file.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    if content is None:
        (tmp_path / file).write_bytes(GOOD)
    else:
        write_text(tmp_path / file, content)
    assert f"{tmp_path}/{message}" in error_message(read_local, tmp_path / file, DE_EN)


@pytest.mark.parametrize("suffix", [".tsv.gz", ".csv.gz", ".jsonl.gz", ".parquet"])
def test_a_truncated_file_is_refused(suffix: str, tmp_path: Path) -> None:
    path = save_table(tmp_path / f"a{suffix}", HASHED)
    for size in (path.stat().st_size - 9, 20):
        path.write_bytes(path.read_bytes()[:size])
        message = error_message(read_local, path, DE_EN)
        assert f"a{suffix}: " in message
        assert "copy it again" in message


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"de": 1, "en": "b"}], "a.parquet, row 1: de must be a string, got 1"),
        ([{"de": "a", "en": {"x": 1}}], "en must be a string or a list of strings"),
        ([{"de": "a", "en": b"b"}], "got bytes"),
        ([{"de": "a", "en": None}], "a.parquet, row 1: en is empty"),
        ([{"deu": "a", "en": "b"}], "a.parquet: no column de; did you mean deu?"),
        ([{"de": "a", "en": "b", "split": "tset"}], "row 1: unknown split 'tset'; did you mean"),
    ],
)
def test_a_parquet_file_with_other_content_is_refused(rows, message: str, tmp_path: Path) -> None:
    assert message in error_message(read_local, save_table(tmp_path / "a.parquet", rows), DE_EN)


def test_parquet_needs_pyarrow_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_table(tmp_path / "a.parquet", HASHED)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "-e '.[hub]'" in error_message(read_local, path, DE_EN)


def test_tables_have_the_limits_of_text_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_table(tmp_path / "a.parquet", HASHED)
    monkeypatch.setattr(tables, "MAX_LINES", 30)
    assert "row 31: more than 30 rows" in error_message(read_local, path, DE_EN)
    monkeypatch.setattr(tables, "MAX_FILE", 100)
    assert "more than 100 characters of text" in error_message(read_local, path, DE_EN)


def write_splits(folder: Path, suffix: str = ".tsv") -> Path:
    folder.mkdir(exist_ok=True)
    for split in ("train", "valid", "test"):
        save_table(folder / f"{split}{suffix}", HASHED)
    return folder


def rename(old: str, new: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / old).rename(folder / new)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: write_parallel(folder), "has both test.tsv and test.de; keep one"),
        (
            lambda folder: save_table(folder / "train.csv", HASHED),
            "has both train.csv and train.tsv",
        ),
        (lambda folder: save_table(folder / "dev.tsv", HASHED), "has both dev.tsv and valid.tsv"),
        (
            lambda folder: save_table(folder / "test.tsv.gz", HASHED),
            "both test.tsv and test.tsv.gz",
        ),
        (lambda folder: (folder / "newstest2014.de").touch(), "and newstest2014.de; keep one"),
        (lambda folder: (folder / "dataset_dict.json").touch(), "has both dataset_dict.json and"),
        (rename("test.tsv", "tset.tsv"), "no test.tsv (or test.tsv.gz) in"),
        (rename("test.tsv", "tset.tsv"), "did you mean tset.tsv?"),
        (lambda folder: (folder / "valid.tsv").write_text("de\ten\n"), "valid split has no rows"),
    ],
)
def test_an_ambiguous_or_incomplete_folder_is_refused(change, message: str, tmp_path: Path) -> None:
    folder = write_splits(tmp_path / "mine")
    change(folder)
    error = error_message(read_local, folder, DE_EN)
    assert message in error


@pytest.mark.parametrize("name", ["data.tsv", "train-00000-of-00001.parquet"])
def test_a_folder_with_a_table_of_no_split_says_what_to_do(name: str, tmp_path: Path) -> None:
    save_table(tmp_path / name, HASHED)
    message = error_message(read_local, tmp_path, DE_EN)
    assert f"has {name}, but no file of a split" in message
    assert f"env.data={tmp_path / name}" in message
    assert f"env.data=hub:{tmp_path}" in message


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("dev.de", "dev.en"), "has both valid.de and dev.de"),
        (("dev.en",), "has both valid.de and dev.en"),
        (("newstest2014.de", "newstest2014.en"), "newstest*, which is the test split"),
        (("train.tags.de-en.de",), "has both train.tags.de-en.de and train.de"),
    ],
)
def test_parallel_files_of_two_forms_are_refused(
    extra: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    folder = write_parallel(tmp_path)
    for name in extra:
        (folder / name).write_text("text\n")
    assert message in error_message(read_local, folder, DE_EN)


def test_the_source_and_the_target_differ(tmp_path: Path) -> None:
    path = save_table(tmp_path / "a.tsv", HASHED)
    assert "both 'de'" in error_message(read_local, path, Columns(("de",), ("de",)))
    assert "env.tedx=true" in error_message(read_local, path, DE_EN, True)
