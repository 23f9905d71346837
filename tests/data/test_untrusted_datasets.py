"""A dataset folder is data: it runs no code, opens no network and reads nothing outside itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.hostile import Attack, audit, canary, check, linked_outside, make_sandbox, outside
from textgen_env.data.columns import Columns
from textgen_env.data.hub import HubDataset, load_hub
from textgen_env.data.scope import local_only
from textgen_env.errors import UserError

DE_EN = Columns(("de",), ("en",))
SPLITS = ("train", "validation", "test")


def dataset(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for split in SPLITS:
        row = {"de": f"das {split}", "en": f"the {split}"}
        (folder / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def script(folder: Path) -> None:
    (folder / f"{folder.name}.py").write_text(canary(folder))


def files_outside(folder: Path) -> None:
    """Data files outside, named by the dataset card."""
    files = []
    for split in SPLITS:
        path = outside(folder) / f"{split}.jsonl"
        shutil.move(folder / path.name, path)
        files.append({"split": split, "path": str(path)})
    configs = json.dumps({"config_name": "default", "data_files": files})
    (folder / "README.md").write_text(f"---\nconfigs:\n- {configs}\n---\n")


def url(folder: Path) -> None:
    configs = "[{config_name: a, data_files: 'https://evil.invalid/train.csv'}]"
    (folder / "README.md").write_text(f"---\nconfigs: {configs}\n---\n")


def pickled_rows(folder: Path) -> None:
    for split in SPLITS:
        (folder / f"{split}.jsonl").rename(folder / f"{split}.pkl")


def image_column(folder: Path) -> None:
    """A column of images that names a file outside."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"de": datasets.Value("string"), "en": datasets.Image()})
    secret = outside(folder) / "secret.png"
    secret.write_bytes(b"secret")
    for split in SPLITS:
        (folder / f"{split}.jsonl").unlink()
        rows = [{"de": "das", "en": {"bytes": None, "path": str(secret)}}]
        datasets.Dataset.from_list(rows, features=features).to_parquet(folder / f"{split}.parquet")


# name: (what is done to a good folder, the error message; "" if the folder loads, unharmed)
ATTACKS: dict[str, tuple[Attack, str]] = {
    "script": (script, ""),
    "url": (url, ""),
    "files outside": (
        files_outside,
        "it has no train split of .parquet, .jsonl, .json, .csv files",
    ),
    "pickle": (pickled_rows, "it has no train split"),
    "link": (linked_outside("train.jsonl"), "train.jsonl is a link out of the folder"),
    "image": (image_column, "en must be a string or a list of strings, got {"),
    "name": (
        lambda folder: (folder / "train.jsonl").rename(folder / "train::x.jsonl"),
        "",
    ),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    pytest.importorskip("datasets", reason="the hub extra (datasets) is not installed")
    sandbox, jobs = make_sandbox(tmp_path_factory), {}
    for name, (attack, _) in ATTACKS.items():
        folder = dataset(sandbox / "in" / f"set-{name}".replace(" ", "-"))
        attack(folder)
        jobs[name] = ["data", str(folder)]
    return audit(sandbox, jobs, ("pyarrow.parquet", "textgen_env.data.hub"))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_dataset_does_nothing(name: str, outcomes: dict[str, dict[str, Any]]):
    check(outcomes[name], ATTACKS[name][1])


def test_only_tables_are_downloaded(tmp_path, monkeypatch):
    pytest.importorskip("datasets", reason="the hub extra (datasets) is not installed")
    folder, calls = dataset(tmp_path / "set" / "a"), {}

    def download(name, **options):
        calls[name] = options
        return str(folder.parent)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("textgen_env.data.hub.unreachable_reason", lambda name: "")
    corpus = load_hub(HubDataset("Set", "owner/set", DE_EN, "a", "main"))
    assert corpus.splits["test"].sources == ["das test"]
    patterns = {"a/*.parquet", "a/*.jsonl", "a/*.json", "a/*.csv"}
    assert set(calls["owner/set"]["allow_patterns"]) == patterns
    assert calls["owner/set"]["revision"] == "main"


def test_nothing_is_downloaded_for_a_run_folder(tmp_path, monkeypatch):
    pytest.importorskip("datasets", reason="the hub extra (datasets) is not installed")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    calls = []

    def download(name, **options):
        calls.append(options["local_files_only"])
        raise FileNotFoundError

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with local_only(), pytest.raises(UserError, match="a run's folder downloads nothing"):
        load_hub(HubDataset("Set", "owner/set", DE_EN))
    assert calls == [True]
