"""Summarisation: JSON lines and the one line each mistake gets, the hub's layouts, what is cut, and the bundled stories."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from textgen_env.data.corpus import Pairs
from textgen_env.data.hub import HubDataset, load_hub
from textgen_env.data.jsonl import read_summaries
from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score
from textgen_env.tasks import cnndm, dialogsum
from textgen_env.types import EOS

ROW = {"document": "a long story .", "summary": "story ."}


def folder_of(
    folder: Path, rows: list, stems: tuple[str, ...] = ("train", "valid", "test"), suffix: str = ""
) -> Path:
    """The same ``rows`` in every split; what is no object is written as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows).encode()
    for stem in stems:
        (folder / f"{stem}.jsonl{suffix}").write_bytes(gzip.compress(text) if suffix else text)
    return folder


def message_for(tmp_path: Path, rows: list) -> str:
    """The one line that reading ``rows`` ends in."""
    with pytest.raises(UserError) as caught:
        read_summaries(folder_of(tmp_path / "mine", rows))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- JSON lines


@pytest.mark.parametrize(
    "row",
    [
        {"document": "a\nlong  story .", "summary": ["story .", "a story ."], "topic": "x"},
        {
            "dialogue": "a long story .",
            "summary1": "story .",
            "summary2": "a story .",
            "topic1": "x",
        },
        {"article": "a long story .", "highlights": ["story .", "a\tstory ."]},
        {"source": "a long story .", "target": ["story .", "a story ."]},
    ],
)
@pytest.mark.parametrize(
    ("stems", "suffix"), [(("train", "valid", "test"), ""), (("train", "dev", "test"), ".gz")]
)
def test_every_form_of_a_line_is_the_same_pair(
    tmp_path: Path, row: dict, stems: tuple[str, ...], suffix: str
) -> None:
    corpus = read_summaries(folder_of(tmp_path / "mine", [row] * 2, stems, suffix))
    assert (corpus.name, corpus.source) == ("mine", "local")
    for pairs in corpus.splits.values():
        assert pairs == Pairs(["a long story ."] * 2, [("story .", "a story .")] * 2)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (
            "{'document': 1}",
            "not JSON (Expecting property name enclosed in double quotes, column 2); write one object a line",
        ),
        ("", "not JSON"),
        ("[1, 2]", "not [1, 2]"),
        (
            {"documnt": "a", "summary": "b"},
            "no document (or dialogue, article, text, source); its fields: documnt, summary",
        ),
        ({"document": "a", "summary2": "b"}, "no summary (or highlights, target)"),
        ({"document": 3, "summary": "b"}, "document is 3; give a text"),
        ({"document": ["a"], "summary": "b"}, 'document is ["a"]; give a text'),
        (
            {"document": "a", "summary": ["b", None]},
            'summary is ["b", null]; give a text or a list of texts',
        ),
        ({"document": "a", "summary": []}, "summary is []"),
        ({"document": " \n", "summary": "b"}, "document is empty"),
        ({"document": "a", "summary": ["b", ""]}, "summary is empty"),
        ('{"document": "a", "summary": "\\ud83d b"}', "summary has half a character"),
        ({"document": "a", "summary": ["b", "c"]}, "2 summaries, but line 1 has 1"),
        (
            {"document": "a", "summary1": "b", "summary3": "c"},
            "summary3 without summary2; number them without a gap",
        ),
        ('{"document": ' + "9" * 5000 + "}", "cannot be read"),
    ],
)
def test_a_bad_line_is_placed(tmp_path: Path, bad: dict | str, says: str) -> None:
    message = message_for(tmp_path, [ROW, bad, ROW])
    assert "train.jsonl:2: " in message
    assert says in message


def test_bytes_that_are_not_utf8_and_missing_files_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", [ROW])
    (folder / "test.jsonl").write_bytes(b'{"document": "a", "summary": "\xe4"}\n')
    with pytest.raises(UserError, match=r"test\.jsonl:1: byte 0xe4 is not UTF-8"):
        read_summaries(folder)
    (folder / "test.jsonl").rename(folder / "tset.jsonl")
    with pytest.raises(UserError, match=r"no test\.jsonl .*did you mean tset\.jsonl"):
        read_summaries(folder)
    with pytest.raises(UserError, match="did you mean mine"):
        dialogsum.load(data_dir=str(tmp_path / "mien"))


@pytest.mark.parametrize(
    "summary", ["wenig für jeden .", "кошка спит", "猫が寝ている。", "แมวนอนหลับ", "القطة نائمة"]
)
def test_summaries_in_every_script_are_scored(tmp_path: Path, summary: str) -> None:
    folder = folder_of(tmp_path / "mine", [{"document": summary, "summary": summary}])
    task = dialogsum.load(data_dir=str(folder), vocabulary=60)
    values = corpus_score(task.metric, [summary], task.splits["test"].texts.references, resamples=0)
    assert {name: value.value for name, value in values.items()} == dict.fromkeys(values, 100)


# --- the hub


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    return pytest.importorskip("datasets", reason="the hub extra (datasets) is not installed")


def test_rows_of_one_dialogue_are_its_references(datasets, tmp_path: Path) -> None:
    """DialogSum lies there as CSV, each test dialogue three times."""
    (tmp_path / "set").mkdir()
    for split, count in (("train", 1), ("validation", 1), ("test", 3)):
        rows = [
            {
                "id": f"{split}_{i}_{j}",
                "dialogue": f"#Person1#: {split}\n#Person2#: {i}",
                "summary": f"{i} {j}",
                "topic": "x",
            }
            for i in range(4)
            for j in range(count)
        ]
        datasets.Dataset.from_list(rows).to_csv(tmp_path / "set" / f"{split}.csv")
    task = dialogsum.load(hub=str(tmp_path / "set"), corpus="hub", vocabulary=100, lowercase=False)
    assert task.corpus.sizes == {"train": 4, "valid": 4, "test": 4}
    assert task.splits["test"].texts.sources[1] == "#Person1#: test #Person2#: 1"
    assert task.splits["test"].texts.references[1] == ("1 0", "1 1", "1 2")
    assert task.splits["train"].texts.references[1] == ("1 0",)


def test_cnndm_is_read_from_the_folder_of_its_version(datasets, tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        for version in ("2.0.0", "3.0.0"):
            (tmp_path / "set" / version).mkdir(parents=True, exist_ok=True)
            rows = [
                {"article": f"{version} {split} {i}", "highlights": f"one\n{i} .", "id": str(i)}
                for i in range(3)
            ]
            path = tmp_path / "set" / version / f"{split}-00000-of-00001.parquet"
            datasets.Dataset.from_list(
                [*rows, {"article": "", "highlights": "x", "id": "3"}]
            ).to_parquet(path)
    task = cnndm.load(hub=str(tmp_path / "set"), corpus="hub", vocabulary=100)
    assert task.corpus.sizes == {"train": 3, "valid": 3, "test": 3}
    assert task.splits["test"].texts == Pairs(
        [f"3.0.0 test {i}" for i in range(3)], [(f"one {i} .",) for i in range(3)]
    )
    assert "3 pairs with an empty side" in task.corpus.describe()


def test_equal_sources_apart_or_in_translation_stay_apart(datasets, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    rows = [{"de": text, "en": f"{text} {i}"} for i, text in enumerate("aaba")]
    for split in ("train", "val", "test"):  # as Multi30k's files are called
        datasets.Dataset.from_list(rows).to_json(tmp_path / "set" / f"{split}.jsonl")
    data = HubDataset("Set", str(tmp_path / "set"), "de", "en")
    assert load_hub(data).splits["valid"] == Pairs(
        list("aaba"), [("a 0",), ("a 1",), ("b 2",), ("a 3",)]
    )
    joined = load_hub(data._replace(join=True, folder="."))
    assert joined.splits["valid"] == Pairs(["a", "b", "a"], [("a 0", "a 1"), ("b 2",), ("a 3",)])


# --- what is too long


@pytest.mark.parametrize("module", [cnndm, dialogsum], ids=lambda module: module.ID)
def test_too_long_is_cut_in_training_too_and_references_stay_whole(module, tmp_path: Path) -> None:
    rows = [
        {"document": "a b c d e f g h", "summary": ["u v w x y z", "z"]},
        {"document": "a b", "summary": ["u", "v"]},
    ] * 3
    options = {
        "data_dir": str(folder_of(tmp_path / "mine", rows)),
        "vocabulary": 60,
        "source_limit": 5,
        "target_limit": 4,
    }
    task = module.load(**options, horizon=6)
    assert (task.id, task.metric, task.reward) == (module.ID, "rouge", "rouge")
    train, test = task.splits["train"], task.splits["test"]
    assert (len(train), train.skipped, train.truncated, train.truncated_targets) == (6, 0, 3, 3)
    assert (len(test), test.truncated, test.truncated_targets) == (6, 3, 0)
    whole = [*task.vocabulary.encode("a b c d e f g h"), EOS]
    for split in (train, test):
        assert split.source[0].tolist() == [*whole[:4], EOS]
        assert task.vocabulary.decode(split.source[1]) == "a b"
    assert train.target[0].tolist() == [*task.vocabulary.encode("u v w x y z")[:3], EOS]
    assert task.vocabulary.decode(test.target[0]) == "u v w x y z"
    assert test.texts.references[0] == ("u v w x y z", "z")
    banner = "\n".join(task.describe())
    assert "truncated 3 train targets to 4 tokens" in banner
    assert "truncated 3 train sources to 5 tokens\n" in banner
    assert (
        max(map(len, module.load(**options, horizon=3).splits["train"].target)) == 3
    )  # never beyond the horizon


# --- the bundled corpora


@pytest.mark.parametrize("module", [cnndm, dialogsum], ids=lambda module: module.ID)
def test_without_a_folder_the_banner_says_whose_scores_these_are_not(module) -> None:
    banner = "\n".join(module.load(bundled_pairs=100, vocabulary=400).describe())
    assert "bundled was taken because" in banner
    assert re.search(r"these scores are not (CNN/DailyMail|DialogSum)'s", banner)


# --- real text


def test_real_dialogsum_is_read_as_it_is(corpora: Path) -> None:
    corpus = read_summaries(corpora / "dialogsum")
    assert corpus.sizes == {"train": 12_460, "valid": 500, "test": 500}
    assert {len(texts) for texts in corpus.splits["test"].references} == {3}
    assert {len(texts) for texts in corpus.splits["train"].references} == {1}
    assert (
        corpus.splits["valid"]
        .sources[0]
        .startswith("#Person1#: Hello, how are you doing today? #Person2#:")
    )
