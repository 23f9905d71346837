"""Files of recorded outputs: their formats, which source they belong to, and what is refused."""

from __future__ import annotations

import gzip
import json

import pytest

from support.corpora import error_message
from textgen_env.data.corpus import Pairs
from textgen_env.data.outputs import read_outputs

SOURCES = ["ein haus", "der see", "ein haus", "eis"]
PAIRS = Pairs(SOURCES, [(f"r{number}",) for number in range(len(SOURCES))])
HOUSE, LAKE = ("ein haus", "a house"), ("der see", "the lake")
ICE = ("eis", "ice")


def lines(*rows):
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def scored(source, *outputs):
    return {
        "source": source,
        "outputs": [{"text": text, "score": score} for text, score in outputs],
    }


CONTENTS = {
    "plain.txt": (
        "a house\nthe lake\na home\nice\n",
        [["a house"], ["the lake"], ["a home"], ["ice"]],
    ),
    "blank lines are no output.de": ("a house\n\n \nice", [["a house"], [], [], ["ice"]]),
    "any order.tsv": (
        lines(*("\t".join(row) for row in (ICE, LAKE, HOUSE))),
        [["a house"], ["the lake"], ["a house"], ["ice"]],
    ),
    "with a header and scores.tsv": (
        "source\toutput\tscore\n"
        "eis\tice\t-3\nder see\tthe lake\t0\nein haus\ta house\t-2\nein haus\ta home\t-1e0\n",
        [["a home", "a house"], ["the lake"], ["a home", "a house"], ["ice"]],
    ),
    "of generate.jsonl": (
        lines(
            scored("eis", ("ice", -1.0)),
            scored("der see", ("a lake", -2.0), ("the lake", -1.5)),
            scored("ein haus", ("", 0.0)),
        ),
        [[], ["the lake", "a lake"], [], ["ice"]],
    ),
    "of score.jsonl": (
        lines(
            *(
                {"source": source, "references": ["r"], "hypothesis": text, "scores": {"bleu": 3}}
                for source, text in (ICE, LAKE, HOUSE)
            )
        ),
        [["a house"], ["the lake"], ["a house"], ["ice"]],
    ),
    "several without scores.jsonl": (
        lines(*({"output": [text, "x", text]} for text in "abcd")),
        [["a", "x"], ["b", "x"], ["c", "x"], ["d", "x"]],
    ),
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("compressed", [False, True])
def test_formats(name, compressed, tmp_path):
    content, expected = CONTENTS[name]
    path = tmp_path / (f"{name}.gz" if compressed else name)
    path.write_bytes(gzip.compress(content.encode()) if compressed else content.encode())
    assert read_outputs(path, PAIRS).texts == expected


def test_repeated_and_unused_rows_are_counted(tmp_path):
    path = tmp_path / "outputs.tsv"
    rows = [HOUSE, HOUSE, LAKE, ICE, ("das meer", "the sea")]
    path.write_text(lines(*("\t".join(row) for row in rows)))
    outputs = read_outputs(path, PAIRS)
    assert (outputs.repeated, outputs.unused) == (2, 1)  # two pairs have that source


def test_sources_are_compared_and_outputs_taken_after_the_preprocessing(tmp_path):
    path = tmp_path / "outputs.tsv"
    path.write_text("EIS\tICE\nder see\tThe Lake\nEin Haus\tA\n")
    assert read_outputs(path, PAIRS, str.lower).texts == [["a"], ["the lake"], ["a"], ["ice"]]


MALFORMED = {
    "too few lines.txt": ("a\nb\n", "2 outputs for 4 sources; give one per source in their order"),
    "empty.txt": ("\n\n\n\n", "the file is empty"),
    "no text.jsonl": (lines(*[{"output": ""}] * 4), "every output is empty"),
    "missing.tsv": (
        lines("\t".join(HOUSE)),
        "no output for 2 of 4 sources, first for number 2, 'der see'; add a row",
    ),
    "one cell.tsv": ("ein haus\ta\nder see\n", "one cell.tsv:2: expected source, output"),
    "four cells.tsv": ("a\tb\t1\t2\n", "four cells.tsv:1: expected source, output"),
    "score.tsv": ("eis\tice\tgood\n", "score.tsv:1: the score must be a number, got 'good'"),
    "nan.jsonl": ('{"output": "a", "score": NaN}\n', "nan.jsonl:1: the score must be a number"),
    "some scores.tsv": ("eis\tice\t1\nder see\tlake\n", "only some of its outputs have a score"),
    "some sources.jsonl": (
        lines({"source": "eis", "output": "ice"}, {"output": "lake"}),
        "some sources.jsonl:2: has no source, but other rows have one",
    ),
    "no output.jsonl": (lines({"source": "eis", "text": "ice"}), "no output.jsonl:1: no output"),
    "number.jsonl": (lines({"output": 3}), "number.jsonl:1: output must be a string, got 3"),
    "source.jsonl": (lines({"source": 3, "output": "a"}), "source must be a string, got 3"),
    "nested.jsonl": (lines({"outputs": [["a"]]}), "nested.jsonl:1: outputs must be a string"),
    "not.jsonl": ("a\n", "not.jsonl:1: not JSON"),
    "list.jsonl": ("[1]\n", "list.jsonl:1: expected an object"),
    "table.csv": ("source,output\n", "outputs are read from .tsv, .jsonl or plain text, not .csv"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_refused_in_one_line(name, tmp_path):
    content, message = MALFORMED[name]
    path = tmp_path / name
    path.write_text(content)
    error = error_message(read_outputs, path, PAIRS)
    assert message in error
    assert str(path) in error
    assert "\n" not in error


def test_missing_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.txt"):
        assert "no such file; name a file" in error_message(read_outputs, path, PAIRS)


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path):
    path = tmp_path / "latin1.txt"
    path.write_bytes(b"a\n\xe4\nb\nc\n")
    assert "latin1.txt:2: byte 0xe4 is not UTF-8" in error_message(read_outputs, path, PAIRS)
