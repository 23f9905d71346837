"""Folders of ``save_to_disk``: what is read, and the one-line error for each kind of damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.corpora import error_message
from support.tables import DE_EN, HASHED, NAMES, ROWS, expected_pairs, save_table
from textgen_env.data.columns import Columns
from textgen_env.data.local import read_local

GOOD = b"no Arrow file"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """``ROWS`` as ``DatasetDict.save_to_disk`` writes them, in several files per split."""
    datasets = pytest.importorskip("datasets", reason="the hub extra (datasets) is not installed")
    splits = {
        hub: datasets.Dataset.from_list([row for row in ROWS if row["split"] == NAMES[split]])
        for split, hub in (("train", "train"), ("valid", "validation"), ("test", "test"))
    }
    datasets.disable_progress_bars()
    shards = dict.fromkeys(splits, 2)
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved", num_shards=shards)
    return tmp_path / "saved"


def test_a_saved_dataset_is_read(saved: Path) -> None:
    corpus = read_local(saved, DE_EN)
    assert corpus.splits == {split: expected_pairs(split) for split in NAMES}


def test_a_single_saved_dataset_is_split_like_a_file(tmp_path: Path, saved: Path) -> None:
    import datasets

    datasets.Dataset.from_list(HASHED).save_to_disk(tmp_path / "one")
    file = read_local(save_table(tmp_path / "one.jsonl", HASHED), DE_EN)
    assert read_local(tmp_path / "one", DE_EN).splits == file.splits
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "two")
    assert read_local(tmp_path / "two", DE_EN).splits == read_local(saved, DE_EN).splits


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


SHARD = "data-00000-of-00002.arrow"
STATE = '{"_data_files": [{"filename": "%s"}]}'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "dataset_dict.json").write_text('{"splits": ["train"]}'), "has no valid"),
        (
            lambda f: (f / "dataset_dict.json").write_text(
                '{"splits": ["train", "dev", "valid", "test"]}'
            ),
            "has both dev and valid",
        ),
        (lambda f: (f / "dataset_dict.json").write_text("[]"), "dataset_dict.json has no list spl"),
        (
            lambda f: (f / "dataset_dict.json").write_text("{"),
            "dataset_dict.json has no list splits",
        ),
        (lambda f: (f / "train" / "state.json").write_text("{}"), "state.json has no list _data_f"),
        (lambda f: (f / "train" / "state.json").unlink(), "state.json: cannot be read"),
        (
            lambda f: (f / "train" / "state.json").write_text(STATE % "../test/data.arrow"),
            "'../test/data.arrow' is not an Arrow file of this folder",
        ),
        (
            lambda f: (f / "train" / "state.json").write_text('{"_data_files": ["x"]}'),
            "is not an Arrow file of this folder",
        ),
        (lambda f: (f / "train" / SHARD).unlink(), f"{SHARD}: cannot be read"),
        (lambda f: truncate(f / "train" / SHARD), f"{SHARD}: cannot be read"),
        (lambda f: (f / "train" / SHARD).write_bytes(GOOD), f"{SHARD}: cannot be read"),
        (lambda f: shutil.rmtree(f / "test"), "state.json: cannot be read"),
    ],
)
def test_a_damaged_saved_dataset_is_refused(change, message: str, saved: Path) -> None:
    change(saved)
    assert message in error_message(read_local, saved, DE_EN)


def test_a_saved_dataset_without_the_column_is_refused(saved: Path) -> None:
    message = error_message(read_local, saved, Columns(("deu",), ("en",)))
    assert "no column deu; did you mean de? (its columns: id, de, en, split)" in message
