"""Limits on the size of untrusted text, and text without visible characters."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from support.corpora import error_message, read_folder, read_summaries, write_text
from textgen_env.data import files
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.files import is_blank, stream_lines
from textgen_env.data.text import normalize_spaces
from textgen_env.data.vocabulary import Vocabulary

TOO_LONG = "a" * (files.MAX_TEXT + 1)


def write_line(folder: Path, line: bytes, suffix: str = "") -> Path:
    """A German-English folder with ``line`` as the second line of ``train.de``."""
    folder.mkdir(exist_ok=True)
    for stem in ("train", "valid", "test"):
        write_text(folder / f"{stem}.de{suffix}", b"eins\nzwei\n")
        write_text(folder / f"{stem}.en{suffix}", b"one\ntwo\n")
    write_text(folder / f"train.de{suffix}", b"eins\n" + line + b"\n")
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"a" * (files.MAX_LINE + 1), "train.de{}:2: line of more than 1,048,576 bytes"),
        (TOO_LONG.encode(), "train.de{}:2: text of 100,001 characters, at most 100,000"),
        (b"a b " * files.MAX_TEXT, "train.de{}:2: text of 399,999 characters"),
    ],
)
def test_overlong_line_error_names_the_line(
    tmp_path: Path, line: bytes, message: str, suffix: str
) -> None:
    folder = write_line(tmp_path / "c", line, suffix)
    assert message.format(suffix) in error_message(read_folder, folder, "de", "en")


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("MAX_FILE", 1000, "more than 1,000 bytes"), ("MAX_LINES", 100, "more than 100 lines")],
)
def test_oversized_file_error_names_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
    message: str,
    suffix: str,
) -> None:
    monkeypatch.setattr(files, limit, value)
    folder = write_line(tmp_path / "c", b"zwei\n" * 300, suffix)
    assert f"train.de{suffix}: {message}" in error_message(read_folder, folder, "de", "en")


def test_decompression_stops_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the file is missing, which only shows if it is decompressed to the end."""
    monkeypatch.setattr(files, "MAX_FILE", 1000)
    (tmp_path / "f.gz").write_bytes(gzip.compress(b"eins\n" * 100_000)[:-9])
    message = error_message(lambda: list(stream_lines(tmp_path / "f.gz")))
    assert "more than 1,000 bytes" in message


def test_json_lines_have_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps({"document": TOO_LONG, "summary": "b"}) + "\n")
    assert "f.jsonl:1: document: text of 100,001 characters" in error_message(read_summaries, path)


def test_iwslt_files_have_the_limit(tmp_path: Path) -> None:
    for language in ("de", "en"):
        (tmp_path / f"train.tags.de-en.{language}").write_text(f"eins\n{TOO_LONG}\n")
        (tmp_path / f"IWSLT14.TED.tst2010.de-en.{language}.xml").write_text("eins\nzwei\n")
    message = error_message(read_folder, tmp_path, "de", "en")
    assert "train.tags.de-en.de:2: text of" in message


def test_vocabulary_file_has_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_JSON", 100)
    path = tmp_path / "vocabulary.json"
    Vocabulary.from_words(["a"]).save(path)
    message = error_message(Vocabulary.load, path)
    assert "vocabulary.json: " in message
    assert "more than 100 (the limit)" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOO_LONG, "train row 1: text of 100,001 characters"),
        ("\ud800", "train row 1: unpaired surrogate"),
        (None, "train row 1: expected a string, got NoneType"),
    ],
)
def test_corpus_built_in_python_has_the_limits(text: str, message: str) -> None:
    splits = {"train": Pairs(["a", "b"], [("a",), (text,)])}
    assert message in error_message(Corpus, "c", "local", "here", splits)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"document": "a", "document": "b", "summary": "c"}', "duplicate column document"),
        ('{"document": ' + "[" * 100_000, "too deeply nested"),
        ('{"document": 1' + "0" * 5000 + "}", "cannot be parsed"),
        ('{"document": "\\ud800", "summary": "b"}', "document: unpaired surrogate"),
        ('{"\\u001b[2J\\ud800": "a"}', "its columns: \\x1b[2J\\ud800"),
        ('{"document": "\\u0000\\u200b", "summary": "b"}', "document is empty"),
    ],
)
def test_hostile_json_is_a_clear_error(tmp_path: Path, line: str, message: str) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.jsonl").write_text(line + "\n")
    assert message in error_message(read_summaries, tmp_path)


BLANK = ["", " \t", "\0", "\0\0", "\u200b", "\ufeff\u200d", "\u2060\u00ad", "\u3164", "\u2800"]


@pytest.mark.parametrize("text", [*BLANK, "\x1b", "\u202e", "\ufe0f"])
def test_text_without_visible_characters_is_blank(text: str) -> None:
    assert is_blank(text)
    assert normalize_spaces(text) == ""


@pytest.mark.parametrize("text", [*BLANK[1:], "\x1b", "\u202e", "\ufe0f"])
def test_blank_lines_and_files_are_errors(tmp_path: Path, text: str) -> None:
    folder = write_line(tmp_path / "c", text.encode())
    assert "train.de:2: empty line" in error_message(read_folder, folder, "de", "en")
    (folder / "train.de").write_text(f"{text}\n{text}", encoding="utf-8")
    assert "train.de: the file is empty" in error_message(read_folder, folder, "de", "en")


@pytest.mark.parametrize(
    "text", ["a", "\0a", "\u200b.", "न्\u200dय", "⠁", "\u0301", "\ue000", "👩\u200d🚀"]
)
def test_text_with_a_visible_character_is_unchanged(text: str) -> None:
    assert normalize_spaces(text) == text
