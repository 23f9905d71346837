"""Checksums of cached files: every change of the content is detected."""

from contextlib import suppress

import pytest

from support.files import flip_bit
from textgen_env.data.files import CorruptFileError, checksum, load_json, save_json


def test_checksum_depends_on_names_contents_and_their_order():
    parts = [("a", b"12"), ("b", b"3")]
    others = [
        [("a", b"1"), ("b", b"23")],
        parts[::-1],
        [("a", b"12")],
        [("a", b"12"), ("c", b"3")],
        [("a", b"12"), ("b", b"4")],
    ]
    assert len({checksum(value) for value in [parts, *others]}) == 6


def test_every_flipped_bit_of_a_json_file_is_detected(tmp_path):
    path, content = tmp_path / "x.json", {"texts": ["ä b", "c\u2028"], "n": 1.5}
    save_json(path, content)
    assert load_json(path) == content
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(flip_bit(data, position))
        with suppress(CorruptFileError):
            assert load_json(path) == content  # whitespace between the fields may change


@pytest.mark.parametrize("data", [b'["a", "b"]', b"{}", b"3", b"\xff", b""])
def test_json_file_without_a_checksum_is_rejected(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(CorruptFileError):
        load_json(path)
