"""A model is scored on one split with its own vocabulary; the training text may be missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from support.corpora import error_message, write_iwslt_release, write_parallel, write_text
from textgen_env.data.scope import only_split
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.tasks import tasks
from textgen_env.tasks.task import Task

VOCABULARY = Vocabulary.from_words(["das", "haus", "THE", "."])
SPLITS = ("train", "valid", "test")


def wmt(folder: Path) -> Path:
    folder.mkdir()
    for stem, count in (("europarl", 30), ("newstest2013", 4), ("newstest2014", 3)):
        for language in ("en", "de"):
            text = "".join(f"{language} {stem} word number {i}\n" for i in range(count))
            write_text(folder / f"{stem}.{language}.gz", text.encode())
    return folder


def summaries(folder: Path) -> Path:
    folder.mkdir()
    for split in SPLITS:
        row = {"document": f"a long story of {split} .", "summary": f"story of {split} ."}
        write_text(folder / f"{split}.jsonl", f"{json.dumps(row)}\n".encode())
    return folder


CORPORA: dict[str, tuple[str, Callable[[Path], Path], tuple[str, ...]]] = {
    "plain": ("ParallelText-v0", write_parallel, ("train", "valid")),
    "iwslt": ("IWSLT-v0", write_iwslt_release, ("train",)),
    "wmt": ("WMT16-v0", wmt, ("europarl",)),
    "summaries": ("CNNDM-v0", summaries, ("train", "valid")),
}


def load(name: str, folder: Path) -> Task:
    options = {"bleu_tokenizer": "char"} if name != "CNNDM-v0" else {}
    return tasks()[name].load(data_dir=str(folder), vocabulary=60, **options)


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_test_split_is_the_same_without_the_training_text(corpus: str, tmp_path: Path) -> None:
    name, write, training = CORPORA[corpus]
    folder = write(tmp_path / "text")
    whole = load(name, folder)
    with only_split("test", whole.vocabulary):
        assert [*load(name, folder).splits] == ["test"]
    assert load(name, folder) is whole  # the other one has an entry of its own in the cache
    for path in folder.iterdir():
        if path.name.startswith(training):
            path.unlink()
    with only_split("test", whole.vocabulary):
        task = load(name, folder)
    assert [*task.splits] == ["test"]
    assert task.metric == whole.metric
    assert task.splits["test"].texts == whole.splits["test"].texts
    for side in ("source", "target"):
        rows = zip(
            getattr(task.splits["test"], side), getattr(whole.splits["test"], side), strict=True
        )
        assert all(np.array_equal(*row) for row in rows)
    assert "train" not in "".join(task.describe()).replace("train =", "")
    assert error_message(load, name, folder)  # training needs the training text


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", ["Copy-v0", "Tightrope-v0"])
def test_a_generated_task_has_the_same_rows_alone(name: str, split: str) -> None:
    sizes = {"train": 20, "valid": 6, "test": 5}
    whole = tasks()[name].load(**sizes)
    with only_split(split, whole.vocabulary):
        task = tasks()[name].load(**sizes)
    assert {key: len(rows) for key, rows in task.splits.items()} == {split: sizes[split]}
    assert task.splits[split].texts == whole.splits[split].texts


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    folder = write_parallel(tmp_path / "text")
    (folder / "test.en").unlink()
    with only_split("test", VOCABULARY):
        assert "no test.en (or test.en.gz)" in error_message(load, "ParallelText-v0", folder)
