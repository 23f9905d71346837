"""Plain parallel files: what is read, and the one-line error for each mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.corpora import SENTENCES, error_message, read_folder, write_parallel
from textgen_env.data.corpus import Pairs
from textgen_env.data.parallel import read_parallel
from textgen_env.data.text import unescape_text


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("valid", ["valid", "dev", "val", "validation"])
def test_all_file_names_give_the_same_corpus(tmp_path: Path, suffix: str, valid: str) -> None:
    write_parallel(tmp_path / "mine", suffix, ("train", valid, "test"))
    corpus = read_folder(tmp_path / "mine", "de", "en")
    assert (corpus.name, corpus.source) == ("mine", "local")
    assert corpus.sizes == {"train": 2, "valid": 1, "test": 1}
    assert corpus.splits["train"] == Pairs(SENTENCES["train"], [("EIN HAUS .",), ("DER SEE .",)])
    plain = read_folder(write_parallel(tmp_path / "plain"), "de", "en")
    assert corpus.fingerprint == plain.fingerprint


def test_languages_can_be_swapped(tmp_path: Path) -> None:
    corpus = read_folder(write_parallel(tmp_path), "en", "de")
    assert corpus.splits["test"] == Pairs(["DAS HAUS ."], [("das haus .",)])


def test_moses_escapes_are_undone_once_and_on_request(tmp_path: Path) -> None:
    escaped = (
        "people &apos;s &quot; &amp; &amp;lt; &lt;b&gt; &#124; &#91; &#93; at&t &copy &nosuch;"
    )
    assert unescape_text(escaped) == "people 's \" & &lt; <b> | [ ] at&t &copy &nosuch;"
    (write_parallel(tmp_path) / "test.en").write_text(escaped + "\n", encoding="utf-8")
    for unescape, text in ((False, escaped), (True, unescape_text(escaped))):
        corpus = read_parallel(tmp_path, "de", "en", unescape)
        assert corpus.splits["test"].references == [(text,)]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.en", b"A\nB\nC\n", "train.de has 2 lines but train.en has 3"),
        ("train.en", b"A\n\n", "train.en:2: empty line"),
        ("train.en", b"A\n \t\n", "train.en:2: empty line"),
        ("train.en", "A\n\u3000\n".encode(), "train.en:2: empty line"),
        ("valid.de", b"", "valid.de: the file is empty"),
        ("valid.de", b"\n\n", "valid.de: the file is empty"),
        ("valid.de", b" \n", "valid.de: the file is empty"),
        ("train.de", "a\nä\n".encode("latin-1"), "train.de:2: byte 0xe4 is not UTF-8"),
    ],
)
def test_error_names_file_and_line(tmp_path: Path, file: str, content: bytes, message: str) -> None:
    (write_parallel(tmp_path) / file).write_bytes(content)
    assert message in error_message(read_parallel, tmp_path, "de", "en")


def test_incomplete_gzip_error_names_the_file(tmp_path: Path) -> None:
    path = write_parallel(tmp_path, ".gz") / "test.de.gz"
    for content in (path.read_bytes()[:-9], b"plain text"):
        path.write_bytes(content)
        message = error_message(read_parallel, tmp_path, "de", "en")
        assert "test.de.gz: incomplete gzip file" in message


def test_missing_file_error_suggests_the_closest_name(tmp_path: Path) -> None:
    folder = write_parallel(tmp_path / "corpus", ".gz")
    message = error_message(read_folder, folder, "dd", "en")
    assert "no train.dd" in message
    assert "did you mean train.de?" in message
    assert "test.en" in message
    (tmp_path / "empty").mkdir()
    message = error_message(read_folder, tmp_path / "empty", "de", "en")
    assert "its files: none" in message


def test_missing_folder_error_suggests_the_closest_name(tmp_path: Path) -> None:
    write_parallel(tmp_path / "corpus")
    message = error_message(read_folder, tmp_path / "corpsu", "de", "en")
    assert "did you mean corpus?" in message
    assert "no folder" in error_message(read_folder, tmp_path / "no" / "where", "de", "en")


def test_ambiguous_files_are_an_error(tmp_path: Path) -> None:
    folder = write_parallel(tmp_path, ".gz")
    assert "both 'de'" in error_message(read_folder, folder, "de", "de")
    (folder / "train.de").write_text("x\n", encoding="utf-8")
    message = error_message(read_folder, folder, "de", "en")
    assert "both train.de and train.de.gz" in message


def test_unreadable_folder_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_parallel(tmp_path / "mine")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read any folder
    message = error_message(read_folder, folder, "de", "en")
    assert "mine cannot be read (Permission denied); chmod u+rx it" in message
    message = error_message(read_folder, tmp_path / "mien", "de", "en")
    assert message.endswith(f"no folder {tmp_path / 'mien'}")  # without a suggestion


def test_real_iwslt_files_have_the_known_sizes(corpora: Path) -> None:
    corpus = read_folder(corpora / "iwslt14", "de", "en", unescape=True)
    assert corpus.sizes == {"train": 53_498, "valid": 7_283, "test": 6_750}
    assert not any("&apos;" in text or "&quot;" in text for text in corpus.splits["test"].sources)
