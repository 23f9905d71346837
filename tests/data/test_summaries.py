"""Summarization corpora: JSON lines, their errors, and truncation of overlong text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.corpora import error_message, read_summaries, write_text
from textgen_env.data.corpus import Pairs
from textgen_env.metrics.scores import corpus_score
from textgen_env.tasks import cnndm, dialogsum
from textgen_env.types import EOS

ROW = {"document": "a long story .", "summary": "story ."}
SPLITS = ("train", "valid", "test")


def write_summaries(
    folder: Path, rows: list[Any], stems: tuple[str, ...] = SPLITS, suffix: str = ""
) -> Path:
    """The same ``rows`` in every split; strings are written as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    for stem in stems:
        write_text(folder / f"{stem}.jsonl{suffix}", text.encode())
    return folder


@pytest.mark.parametrize(
    "row",
    [
        {"document": "a\nlong  story .", "summary": ["story .", "a story ."], "topic": "x"},
        {"dialogue": "a long story .", "summary1": "story .", "summary2": "a story .", "topic1": 1},
        {"article": "a long story .", "highlights": ["story .", "a\tstory ."]},
        {"source": "a long story .", "target": ["story .", "a story ."]},
    ],
)
@pytest.mark.parametrize(("stems", "suffix"), [(SPLITS, ""), (("train", "dev", "test"), ".gz")])
def test_all_field_and_file_names_give_the_same_pairs(
    tmp_path: Path, row: dict[str, Any], stems: tuple[str, ...], suffix: str
) -> None:
    corpus = read_summaries(write_summaries(tmp_path / "mine", [row] * 2, stems, suffix))
    assert (corpus.name, corpus.source) == ("mine", "local")
    for pairs in corpus.splits.values():
        assert pairs == Pairs(["a long story ."] * 2, [("story .", "a story .")] * 2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "{'document': 1}",
            "not JSON (Expecting property name enclosed in double quotes, column 2",
        ),
        ("", "not JSON"),
        ("[1, 2]", "got [1, 2]"),
        (
            {"documnt": "a", "summary": "b"},
            "no column document (or dialogue, article, text, source); did you mean documnt? (its",
        ),
        ({"document": "a", "summary2": "b"}, "no column summary (or highlights, target)"),
        ({"document": 3, "summary": "b"}, "document must be a string, got 3"),
        ({"document": ["a"], "summary": "b"}, 'document must be a string, got ["a"]'),
        (
            {"document": "a", "summary": ["b", 7]},
            'summary must be a string or a list of strings, got ["b", 7]',
        ),
        ({"document": "a", "summary": []}, "a list of strings, got []"),
        ({"document": " \n", "summary": "b"}, "document is empty"),
        ({"document": "a", "summary": ["b", ""]}, "summary is empty"),
        ({"document": "a", "summary": ["b", None]}, "summary is empty"),
        ({"document": None, "summary": "b"}, "document is empty"),
        ('{"document": "a", "summary": "\\ud83d b"}', "summary: unpaired surrogate"),
        ({"document": "a", "summary": ["b", "c"]}, "2 references, but 1 in the rows before"),
        (
            {"document": "a", "summary1": "b", "summary3": "c"},
            "summary3 without summary2; number them without gaps",
        ),
        ('{"document": ' + "9" * 5000 + "}", "cannot be parsed"),
    ],
)
def test_error_names_file_and_line(tmp_path: Path, line: Any, message: str) -> None:
    error = error_message(read_summaries, write_summaries(tmp_path, [ROW, line, ROW]))
    assert "train.jsonl:2: " in error
    assert message in error


def test_encoding_error_names_the_line(tmp_path: Path) -> None:
    write_summaries(tmp_path, [ROW])
    (tmp_path / "test.jsonl").write_bytes(b'{"document": "a", "summary": "\xe4"}\n')
    message = error_message(read_summaries, tmp_path)
    assert "test.jsonl:1: byte 0xe4 is not UTF-8" in message


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    folder = write_summaries(tmp_path / "mine", [ROW])
    (folder / "test.jsonl").rename(folder / "tset.jsonl")
    message = error_message(read_summaries, folder)
    assert re.search(r"no test\.jsonl .*did you mean tset\.jsonl", message)
    missing = str(tmp_path / "mien")
    assert "did you mean mine" in error_message(dialogsum.load, data_dir=missing)


@pytest.mark.parametrize(
    "summary", ["wenig für jeden .", "кошка спит", "猫が寝ている。", "แมวนอนหลับ", "القطة نائمة"]
)
def test_summaries_in_any_script_can_be_scored(tmp_path: Path, summary: str) -> None:
    folder = write_summaries(tmp_path / "mine", [{"document": summary, "summary": summary}])
    task = dialogsum.load(data_dir=str(folder), vocabulary=60)
    references = task.splits["test"].texts.references
    scores = corpus_score(task.metric, [summary], references, resamples=0)
    assert {name: score.value for name, score in scores.items()} == dict.fromkeys(scores, 100)


@pytest.mark.parametrize("module", [cnndm, dialogsum], ids=lambda module: module.ID)
def test_overlong_training_text_is_truncated_and_references_are_not(
    module: ModuleType, tmp_path: Path
) -> None:
    rows = [
        {"document": "a b c d e f g h", "summary": ["u v w x y z", "z"]},
        {"document": "a b", "summary": ["u", "v"]},
    ] * 3
    folder = write_summaries(tmp_path / "mine", rows)
    options = {"vocabulary": 60, "source_limit": 5, "target_limit": 4}
    task = module.load(str(folder), **options, horizon=6)
    assert (task.id, task.metric, task.reward) == (module.ID, "rouge", "rouge")
    train, test = task.splits["train"], task.splits["test"]
    assert (len(train), train.skipped, train.truncated, train.truncated_targets) == (6, 0, 3, 3)
    assert (len(test), test.truncated, test.truncated_targets) == (6, 3, 0)
    source = [*task.vocabulary.encode("a b c d e f g h"), EOS]
    for split in (train, test):
        assert split.source[0].tolist() == [*source[:4], EOS]
        assert task.vocabulary.decode(split.source[1]) == "a b"
    assert train.target[0].tolist() == [*task.vocabulary.encode("u v w x y z")[:3], EOS]
    assert task.vocabulary.decode(test.target[0]) == "u v w x y z"
    assert test.texts.references[0] == ("u v w x y z", "z")
    banner = "\n".join(task.describe())
    assert "3 train targets to 4 tokens" in banner
    assert "3 train sources to 5 tokens\n" in banner
    shorter = module.load(str(folder), **options, horizon=3)
    assert max(map(len, shorter.splits["train"].target)) == 3


@pytest.mark.parametrize("module", [cnndm, dialogsum], ids=lambda module: module.ID)
def test_banner_warns_about_scores_on_the_bundled_corpus(module: ModuleType) -> None:
    banner = "\n".join(module.load(bundled_pairs=100, vocabulary=400).describe())
    assert "using the bundled corpus because" in banner
    assert re.search(r"these scores are not (CNN/DailyMail|DialogSum)'s", banner)


def test_real_dialogsum_has_the_known_sizes(corpora: Path) -> None:
    corpus = read_summaries(corpora / "dialogsum")
    assert corpus.sizes == {"train": 12_460, "valid": 500, "test": 500}
    assert {len(texts) for texts in corpus.splits["test"].references} == {3}
    assert {len(texts) for texts in corpus.splits["train"].references} == {1}
    first = corpus.splits["valid"].sources[0]
    assert first.startswith("#Person1#: Hello, how are you doing today? #Person2#:")
