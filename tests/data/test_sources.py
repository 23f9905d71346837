"""Which corpus a task reads, and what it says about the choice."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.corpora import error_message, write_parallel
from textgen_env.data import sources
from textgen_env.data.columns import Columns
from textgen_env.data.corpus import Corpus
from textgen_env.data.hub import HubDataset
from textgen_env.data.sources import data_place
from textgen_env.tasks import tasks
from textgen_env.tasks.translation import load_parallel_corpus

DE_EN = Columns(("de",), ("en",))
HUB = HubDataset("AB", "a/b", DE_EN)
WITH_DATA = [id for id, task in tasks().items() if id not in ("Copy-v0", "Tightrope-v0")]


def read(kind: str, data: str | None = None, source: str = "de", hub=None) -> Corpus:
    columns = Columns((source,), ("de" if source == "en" else "en",))
    return load_parallel_corpus(kind, data, columns, 20, hub)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the datasets that are loaded from the hub."""
    names: list[str] = []

    def load(data: HubDataset) -> Corpus:
        names.append(data.name)
        return Corpus(data.name, "hub", "there", {})

    monkeypatch.setattr(sources, "load_hub", load)
    return names


@pytest.mark.parametrize("kind", ["auto", "real", "local"])
def test_the_users_data_comes_first(kind: str, tmp_path: Path, downloads: list[str]) -> None:
    assert read(kind, str(write_parallel(tmp_path)), hub=HUB).source == "local"
    assert not downloads


def test_auto_without_data_is_the_bundled_corpus_and_never_the_hub(downloads: list[str]) -> None:
    corpus = read("auto", hub=HUB)
    assert corpus.source == "bundled"
    assert "because no env.data is given" in corpus.describe()
    assert corpus.describe().count("these scores are not AB's") == 1
    assert "because no env.data is given" in read("auto").describe()
    assert "these scores are not" not in read("auto").describe()
    assert "because" not in read("bundled", hub=HUB).describe()
    assert not downloads


@pytest.mark.parametrize("kind", ["hub", "real"])
def test_real_text_comes_from_the_hub(kind: str, downloads: list[str]) -> None:
    assert read(kind, hub=HUB).source == "hub"
    assert downloads == ["a/b"]


def test_data_may_name_a_dataset_of_the_hub(tmp_path: Path, downloads: list[str]) -> None:
    for name in ("c/d", "c/d/3.0.0", str(tmp_path)):
        assert read("auto", f"hub:{name}", hub=HUB).source == "hub"
    assert downloads == ["c/d", "c/d", str(tmp_path)]
    for name in ("d", "", "../c/d", "/no/where"):
        assert "hub:OWNER/NAME" in error_message(read, "auto", f"hub:{name}")


def test_bundled_corpus_translates_in_both_directions() -> None:
    german, english = read("bundled"), read("bundled", source="en")
    assert german.sizes == {"train": 20, "valid": 2, "test": 2}
    targets = [text for (text,) in german.splits["train"].references]
    assert english.splits["train"].sources == targets
    assert "German–English" in error_message(read, "bundled", source="fr")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bundeld",), "did you mean 'bundled'"),
        (("local",), "needs env.data="),
        (("local", "hub:a/b"), "needs env.data="),
        (("hub",), "no dataset of its own"),
        (("real",), "no dataset of its own; give yours with env.data="),
        (("bundled", "folder"), "remove one"),
        (("hub", "folder"), "remove one"),
        (("auto", "missing"), "no folder"),
        (("auto", "missing.tsv"), "no file"),
        (("hub", None, "de", HUB), "AB from the hub (a/b): HF_HUB_OFFLINE is set; give a copy"),
        (("real", None, "de", HUB), "env.data=FILE_OR_FOLDER"),
    ],
)
def test_unavailable_corpus_is_an_error(arguments: tuple, message: str) -> None:
    assert message in error_message(read, *arguments)


@pytest.mark.parametrize("id", WITH_DATA)
def test_both_names_of_the_data_are_one_key_in_every_task(id: str, tmp_path: Path) -> None:
    load = tasks()[id].load
    assert "two names of one key" in error_message(load, data="a", data_dir="b")
    for name in ("data", "data_dir"):
        missing = str(tmp_path / "none")
        assert f"no folder {missing}" in error_message(load, **{name: missing})
        assert "env.data is empty" in error_message(load, **{name: ""})
    assert data_place(None, None) is None


@pytest.mark.parametrize("id", WITH_DATA)
@pytest.mark.parametrize("name", ["text.txt", "train.de", "text.parquet.gz", "text.xlsx", "text"])
def test_a_file_of_another_format_is_refused_by_every_task(
    id: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("eins\tone\n")
    message = error_message(tasks()[id].load, data=str(tmp_path / name))
    assert str(tmp_path / name) in message
