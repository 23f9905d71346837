"""The translation tasks: where their text comes from and what is done to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from textgen_env.data.corpus import Pairs, Preprocessing
from textgen_env.tasks import iwslt, multi30k, parallel_text, wmt16
from textgen_env.types import UNK

TRANSLATION = [iwslt, multi30k, parallel_text, wmt16]
UNESCAPED, LOWERCASED = {"unescape": True}, {"lowercase": True}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Twenty pairs per split, cased, with Moses escapes."""
    texts = {"de": "Das ist Satz {} &amp; gut .", "en": "That &apos;s {} sentence {} ."}
    folder = tmp_path / "mine"
    folder.mkdir()
    for split in ("train", "valid", "test"):
        for language, text in texts.items():
            lines = [text.format(split, i) for i in range(20)]
            (folder / f"{split}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("module", "options", "steps"),
    [
        (iwslt, {}, UNESCAPED | LOWERCASED),
        (iwslt, {"unescape": False}, LOWERCASED),
        (multi30k, {}, LOWERCASED),
        (multi30k, {"lowercase": False}, {}),
        (parallel_text, {}, {}),
        (parallel_text, {"unescape": True}, UNESCAPED),
        (wmt16, {"split_marks": True}, UNESCAPED | {"split_marks": True}),
    ],
)
def test_corpus_records_its_preprocessing(module, options, steps, folder):
    task = module.load(data_dir=folder, vocabulary=200, **options)
    assert task.corpus.preprocessing == Preprocessing(**steps)
    assert task.with_vocabulary(task.vocabulary).corpus.preprocessing == Preprocessing(**steps)


def test_bundled_text_is_not_unescaped():
    task = iwslt.load(corpus="bundled", bundled_pairs=100, vocabulary=300)
    assert task.corpus.preprocessing == Preprocessing(lowercase=True)


@pytest.mark.parametrize("module", TRANSLATION, ids=lambda module: module.ID)
def test_translation_from_a_folder(module, folder):
    task = module.load(data_dir=folder, source="de", target="en", vocabulary=120)
    assert (task.id, task.metric, task.reward, task.oracle) == (module.ID, "bleu", "bleu", None)
    sizes = {name: len(split) for name, split in task.splits.items()}
    assert sizes == {"train": 20, "valid": 20, "test": 20}
    source, target = "Das ist Satz test &amp; gut .", "That &apos;s test sentence 0 ."
    if module in (iwslt, wmt16):
        source, target = source.replace("&amp;", "&"), target.replace("&apos;", "'")
    if module in (iwslt, multi30k):
        source, target = source.lower(), target.lower()
    texts = task.splits["test"].texts
    assert (texts.sources[0], texts.references[0]) == (source, (target,))
    train = task.splits["train"]
    assert task.vocabulary.decode(train.source[3]) == train.texts.sources[3]
    assert all(UNK not in row for row in train.target)


@pytest.mark.parametrize("module", TRANSLATION, ids=lambda module: module.ID)
def test_default_without_a_folder_is_the_bundled_corpus_and_is_reported(module):
    task = module.load(bundled_pairs=200, vocabulary=400)
    assert task.corpus.source == "bundled"
    assert task.corpus.sizes["train"] == 200
    description = "\n".join(task.describe())
    assert "bundled" in description
    assert "because" in description
    name = module.ID.removesuffix("-v0")
    assert (f"not {name}'s" in description) == (module is not parallel_text)


def test_wmt16_is_english_to_german_and_can_split_punctuation(folder):
    task = wmt16.load(folder, vocabulary=120, split_marks=True)
    texts = task.splits["test"].texts
    assert texts.sources[0] == "That ' s test sentence 0 ."
    assert texts.references[0] == ("Das ist Satz test & gut .",)


@pytest.mark.parametrize(
    "text",
    [
        "Parliament's re-election , ok",
        "Parliament 's re ##AT##-##AT## election, ok",
        "Parliament 's re @-@ election, ok",
    ],
)
def test_split_punctuation_undoes_tokenization(text):
    assert wmt16.split_punctuation(text) == "Parliament ' s re - election , ok"


def test_wmt16_reads_the_hub_folder_of_its_languages(datasets, tmp_path):
    """Each language pair has a folder of shards with the one column ``translation``."""
    for language in ("de", "cs"):
        folder = tmp_path / "set" / f"{language}-en"
        folder.mkdir(parents=True)
        for split, shards in (("train", 2), ("validation", 1), ("test", 1)):
            for shard in range(shards):
                texts = [f"{split} {shard} {i}" for i in range(9)]
                rows = [
                    {"translation": {x: f"{x} {text}" for x in (language, "en")}} for text in texts
                ]
                file = folder / f"{split}-{shard:05}-of-{shards:05}.parquet"
                datasets.Dataset.from_list(rows).to_parquet(file)
    options = {"corpus": "hub", "hub": str(tmp_path / "set"), "vocabulary": 60}
    to_german = wmt16.load(**options)
    assert to_german.corpus.sizes == {"train": 18, "valid": 9, "test": 9}
    expected = Pairs([f"en test 0 {i}" for i in range(9)], [(f"de test 0 {i}",) for i in range(9)])
    assert to_german.splits["test"].texts == expected
    from_czech = wmt16.load(**options, source="cs", target="en").splits["valid"].texts
    assert from_czech.sources[3] == "cs validation 0 3"
    assert from_czech.references[3] == ("en validation 0 3",)


def test_multi30k_reads_the_three_files_of_the_hub(datasets, tmp_path):
    (tmp_path / "set").mkdir()
    for split in ("train", "val", "test"):
        rows = [{"en": f"A {split} {i}.", "de": f"Ein {split} {i}."} for i in range(20)]
        datasets.Dataset.from_list(rows).to_json(tmp_path / "set" / f"{split}.jsonl")
    task = multi30k.load(corpus="hub", hub=str(tmp_path / "set"), vocabulary=60, lowercase=False)
    assert task.corpus.sizes == {"train": 20, "valid": 20, "test": 20}
    texts = task.splits["valid"].texts
    assert {texts.sources[7], *texts.references[7]} == {"A val 7.", "Ein val 7."}


def test_real_text_with_overlapping_splits(corpora, tmp_path):
    news = "newstest2013.tok"
    files = {"train": "train_europarl10k_short", "valid": news, "test": news}
    for split, name in files.items():
        for language in ("de", "en"):
            file = corpora / "wmt_en_de" / f"{name}.{language}.gz"
            (tmp_path / f"{split}.{language}.gz").symlink_to(file)
    options = {"horizon": 60, "source_limit": 60, "vocabulary": 4_000}
    task = parallel_text.load(str(tmp_path), source="en", target="de", **options)
    assert task.corpus.sizes == {"train": 10_000, "valid": 3_000, "test": 3_000}
    assert len(task.splits["train"]) + task.splits["train"].skipped == 10_000
    assert len(task.splits["test"]) == 3_000
    assert task.splits["test"].truncated > 0
    assert "3,000 test source sentences also" in task.corpus.describe()
