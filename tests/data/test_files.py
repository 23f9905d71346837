"""Files: lines, atomic writes, and stamps that detect changes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.corpora import write_parallel
from textgen_env.data.files import file_stamps, is_blank, stream_lines, write_atomically
from textgen_env.data.text import normalize_spaces
from textgen_env.errors import UserError


def test_only_newlines_end_lines(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes("\ufeffa\u2028b\x85c\x0bd\x1ce\r\nf".encode())
    lines = list(stream_lines(tmp_path / "f"))
    assert lines == ["a\u2028b\x85c\x0bd\x1ce", "f"]
    assert normalize_spaces(lines[0]) == "a b c d e"


characters = st.characters(codec="utf-8", exclude_characters="\n\r\ufeff")


@given(st.lists(st.text(characters, min_size=1), min_size=1))
def test_stream_lines_inverts_writing(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.gz"
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    if not all(map(is_blank, lines)):
        assert list(stream_lines(path)) == lines


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "f", b"old")

    def disk_full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", disk_full)
    with pytest.raises(UserError, match="No space"):
        write_atomically(tmp_path / "f", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_written_file_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_stamps_change_with_the_files(tmp_path: Path) -> None:
    before = file_stamps(write_parallel(tmp_path))
    assert before == file_stamps(tmp_path) != () == file_stamps(None)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert file_stamps(tmp_path) == before
    (tmp_path / "train.de").write_text("anders\n", encoding="utf-8")
    assert file_stamps(tmp_path) != before
