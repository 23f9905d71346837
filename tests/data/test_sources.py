"""Which corpus ``CorpusSource`` chooses, and what it says about the choice."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.corpora import error_message, write_parallel
from textgen_env.data import sources
from textgen_env.data.corpus import Corpus
from textgen_env.data.hub import HubDataset
from textgen_env.data.sources import CorpusSource
from textgen_env.errors import UserError
from textgen_env.tasks.translation import load_parallel_corpus

HUB = HubDataset("AB", "a/b", "de", "en")


def read(kind: str, data_dir: str | None = None, source: str = "de", hub=None) -> Corpus:
    target = "de" if source == "en" else "en"
    return load_parallel_corpus(CorpusSource(kind, data_dir, 20, hub), source, target)


def test_auto_prefers_the_folder(tmp_path: Path) -> None:
    assert read("auto", str(write_parallel(tmp_path)), hub=HUB).source == "local"


def test_auto_reads_the_hub_if_it_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "unreachable_reason", lambda _: "")
    monkeypatch.setattr(sources, "load_hub", lambda data: Corpus(data.name, "hub", "there", {}))
    assert read("auto", hub=HUB).source == "hub"


def test_auto_reads_a_prepared_dataset_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "is_prepared", lambda _: True)
    monkeypatch.setattr(sources, "load_hub", lambda data: Corpus(data.name, "hub", "there", {}))
    assert read("auto", hub=HUB).source == "hub"


def test_auto_falls_back_to_the_bundled_corpus_and_gives_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus = read("auto", hub=HUB)
    assert corpus.source == "bundled"
    assert "HF_HUB_OFFLINE is set" in corpus.describe()
    assert "these scores are not AB's" in corpus.describe()

    def fail(_: HubDataset) -> Corpus:
        raise UserError("gone since")

    monkeypatch.setattr(sources, "unreachable_reason", lambda _: "")
    monkeypatch.setattr(sources, "load_hub", fail)
    assert "gone since" in read("auto", hub=HUB).describe()


def test_auto_without_a_hub_dataset_asks_for_a_folder() -> None:
    assert "no env.data_dir given" in read("auto").describe()
    assert "these scores are not" not in read("auto").describe()


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
        (("local",), "needs env.data_dir"),
        (("hub",), "no hub dataset"),
        (("bundled", "folder"), "remove one"),
        (("auto", "missing"), "no folder"),
        (("hub", None, "de", HUB), "env.corpus=hub"),
    ],
)
def test_unavailable_corpus_is_an_error(arguments: tuple, message: str) -> None:
    assert message in error_message(read, *arguments)
