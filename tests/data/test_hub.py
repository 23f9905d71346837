"""Hub datasets: file layouts, the cache, errors, and whether the hub is reachable."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from huggingface_hub.errors import HfHubHTTPError

from support.corpora import SENTENCES, error_message, read_folder, write_parallel
from textgen_env.data import hub
from textgen_env.data.columns import Columns
from textgen_env.data.corpus import Pairs
from textgen_env.data.hub import PARQUET, HubDataset, load_hub
from textgen_env.tasks import cnndm, dialogsum


@pytest.fixture
def folder(datasets: ModuleType, tmp_path: Path) -> Path:
    """``SENTENCES`` in the layout of the hub's Parquet export, one empty source per split."""
    for split, texts in zip(("train", "validation", "test"), SENTENCES.values(), strict=True):
        rows = [{"translation": {"de": text, "en": text.upper()}} for text in texts]
        rows.append({"translation": {"de": " ", "en": "X"}})
        path = tmp_path / "set" / "iwslt2017-de-en" / split
        path.mkdir(parents=True)
        datasets.Dataset.from_list(rows).to_parquet(path / "0000.parquet")
    return tmp_path / "set"


DE_EN = Columns(("de",), ("en",))


def iwslt(folder: Path, source: str = "de", config: str = "iwslt2017-de-en") -> HubDataset:
    return HubDataset("IWSLT", str(folder), Columns((source,), ("en",)), config, PARQUET)


def test_second_load_reads_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = load_hub(iwslt(folder))
    assert corpus.source == "hub"
    assert str(folder) in corpus.origin
    assert "3 pairs with an empty side" in corpus.describe()
    plain = read_folder(write_parallel(tmp_path / "plain"), "de", "en")
    assert corpus.fingerprint == plain.fingerprint
    monkeypatch.setattr(hub, "read_table", None)  # a call would fail
    assert load_hub(iwslt(folder)) == corpus


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda data: data.replace(b"haus", b"hauz", 1),
        lambda data: data[:-20],
        lambda data: b"",
        lambda data: b'{"origin": "of an earlier version", "empty": 0}',
    ],
)
def test_corrupt_cache_is_reported_and_replaced(
    corrupt: Callable[[bytes], bytes], folder: Path, tmp_path: Path
) -> None:
    corpus = load_hub(iwslt(folder))
    (path,) = (tmp_path / "cache" / "datasets").iterdir()
    before = path.read_bytes()
    path.write_bytes(corrupt(before))
    assert path.read_bytes() != before
    with pytest.warns(UserWarning, match=f"{path} is corrupted.*; downloading it again"):
        assert load_hub(iwslt(folder)) == corpus
    assert load_hub(iwslt(folder)) == corpus


def test_changed_local_folder_is_read_again(datasets: ModuleType, folder: Path) -> None:
    load_hub(iwslt(folder))
    path = folder / "iwslt2017-de-en" / "test" / "0000.parquet"
    datasets.Dataset.from_list([{"translation": {"de": "neu", "en": "NEW"}}]).to_parquet(path)
    assert load_hub(iwslt(folder)).splits["test"].sources == ["neu"]


def test_unknown_language_and_configuration_are_named(folder: Path) -> None:
    message = error_message(load_hub, iwslt(folder, "fr"))
    assert "no column fr (its columns: de, en)" in message
    assert "nosuch" in error_message(load_hub, iwslt(folder, config="nosuch"))


def test_missing_package_error_names_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = error_message(load_hub, iwslt(folder))
    assert "-e '.[hub]'" in message


def test_consecutive_rows_are_joined_on_request(datasets: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    rows = [{"de": text, "en": f"{text} {i}"} for i, text in enumerate("aaba")]
    for split in ("train", "val", "test"):  # Multi30k's file names
        datasets.Dataset.from_list(rows).to_json(tmp_path / "set" / f"{split}.jsonl")
    data = HubDataset("Set", str(tmp_path / "set"), DE_EN)
    separate = Pairs(list("aaba"), [("a 0",), ("a 1",), ("b 2",), ("a 3",)])
    assert load_hub(data).splits["valid"] == separate
    joined = Pairs(["a", "b", "a"], [("a 0", "a 1"), ("b 2",), ("a 3",)])
    assert load_hub(data._replace(join=True, folder=".")).splits["valid"] == joined


def test_dialogsum_summaries_of_one_dialogue_are_its_references(
    datasets: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "set").mkdir()
    for split, count in (("train", 1), ("validation", 1), ("test", 3)):
        rows = [
            {"dialogue": f"#Person1#: {split}\n#Person2#: {i}", "summary": f"{i} {j}", "topic": "x"}
            for i in range(4)
            for j in range(count)
        ]
        datasets.Dataset.from_list(rows).to_csv(tmp_path / "set" / f"{split}.csv")
    task = dialogsum.load(hub=str(tmp_path / "set"), corpus="hub", vocabulary=100, lowercase=False)
    assert task.corpus.sizes == {"train": 4, "valid": 4, "test": 4}
    assert task.splits["test"].texts.sources[1] == "#Person1#: test #Person2#: 1"
    assert task.splits["test"].texts.references[1] == ("1 0", "1 1", "1 2")
    assert task.splits["train"].texts.references[1] == ("1 0",)


def test_cnndm_is_read_from_the_folder_of_its_version(datasets: ModuleType, tmp_path: Path) -> None:
    for version in ("2.0.0", "3.0.0"):
        (tmp_path / "set" / version).mkdir(parents=True)
        for split in ("train", "validation", "test"):
            rows = [
                {"article": f"{version} {split} {i}", "highlights": f"one\n{i} ."} for i in range(3)
            ]
            rows.append({"article": "", "highlights": "x"})
            path = tmp_path / "set" / version / f"{split}-00000-of-00001.parquet"
            datasets.Dataset.from_list(rows).to_parquet(path)
    task = cnndm.load(hub=str(tmp_path / "set"), corpus="hub", vocabulary=100)
    assert task.corpus.sizes == {"train": 3, "valid": 3, "test": 3}
    articles = [f"3.0.0 test {i}" for i in range(3)]
    assert task.splits["test"].texts == Pairs(articles, [(f"one {i} .",) for i in range(3)])
    assert "3 pairs with an empty side" in task.corpus.describe()


def test_local_folder_is_always_reachable(tmp_path: Path) -> None:
    assert hub.unreachable_reason(str(tmp_path)) == ""


def test_hub_is_unreachable_offline(datasets: ModuleType) -> None:
    assert hub.unreachable_reason("a/b") == "HF_HUB_OFFLINE is set"
    message = error_message(load_hub, HubDataset("AB", "nobody/nothing", DE_EN))
    assert "AB from the hub (nobody/nothing): HF_HUB_OFFLINE is set; give a copy" in message


def test_hub_is_unreachable_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert hub.unreachable_reason("a/b").startswith("the hub cannot be reached (")


def test_missing_dataset_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    response = SimpleNamespace(status_code=404, headers={}, request=None)

    def fail(*_: object, **__: object) -> None:
        raise HfHubHTTPError("not found", response=response)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", fail)
    assert hub.unreachable_reason("a/b") == "the hub answers 404 for a/b"
