"""Tables: every format gives the same pairs, in every task."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.corpora import error_message, read_summaries
from support.tables import DE_EN, FORMATS, HASHED, NAMES, ROWS, expected_pairs, save_table
from textgen_env.data import local
from textgen_env.data.columns import Columns
from textgen_env.data.corpus import Corpus
from textgen_env.data.local import read_local
from textgen_env.data.scope import only_split
from textgen_env.tasks import dialogsum, iwslt, multi30k, parallel_text, wmt16


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_file_with_a_column_of_splits(suffix: str, tmp_path: Path) -> None:
    corpus = read_local(save_table(tmp_path / f"mine{suffix}", ROWS), DE_EN)
    assert (corpus.name, corpus.source, corpus.notes) == ("mine", "local", ())
    assert corpus.splits == {split: expected_pairs(split) for split in NAMES}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_with_one_file_per_split(suffix: str, tmp_path: Path) -> None:
    for name in NAMES.values():
        rows = [row | {"split": "x"} for row in ROWS if row["split"] == name]
        save_table(tmp_path / f"{name}{suffix}", rows)
    corpus = read_local(tmp_path, DE_EN)
    assert corpus.splits == {split: expected_pairs(split) for split in NAMES}
    assert corpus.name == tmp_path.name


@pytest.mark.parametrize("suffix", FORMATS)
def test_without_a_column_of_splits_a_hash_splits(suffix: str, tmp_path: Path) -> None:
    corpus = read_local(save_table(tmp_path / f"mine{suffix}", HASHED), DE_EN)
    assert corpus.sizes == {"train": 32, "valid": 4, "test": 4}
    assert "a hash of each source chooses its split" in corpus.describe()
    turned = read_local(save_table(tmp_path / f"turned{suffix}", HASHED[::-1]), DE_EN)
    for split, pairs in corpus.splits.items():
        assert sorted(turned.splits[split].sources) == sorted(pairs.sources)


def test_equal_sources_are_in_the_same_split_and_held_out_sizes_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = read_local(save_table(tmp_path / "a.jsonl", HASHED * 3), DE_EN)
    assert not corpus.repeated
    assert corpus.sizes == {"train": 96, "valid": 12, "test": 12}
    monkeypatch.setattr(local, "HELD_OUT", 1)
    assert read_local(tmp_path / "a.jsonl", DE_EN).sizes == {"train": 114, "valid": 3, "test": 3}


@pytest.mark.parametrize("suffix", [".tsv", ".csv"])
def test_numbers_are_the_columns_of_a_file_without_a_header(suffix: str, tmp_path: Path) -> None:
    with_header = save_table(tmp_path / f"a{suffix}", HASHED)
    lines = with_header.read_bytes().splitlines(keepends=True)
    (tmp_path / f"b{suffix}").write_bytes(b"".join(lines[1:]))
    numbered = read_local(tmp_path / f"b{suffix}", Columns(("1",), ("2",)))
    assert numbered.splits == read_local(with_header, DE_EN).splits
    message = error_message(read_local, tmp_path / f"b{suffix}", DE_EN)
    assert f"b{suffix}:1: no column de (its columns: Satz 0, sentence 0)" in message
    assert "if the first line is no header, number them: env.source=1 env.target=2" in message
    message = error_message(read_local, tmp_path / f"b{suffix}", Columns(("1",), ("3",)))
    assert f"b{suffix}:1: no column 3 (its columns: 1, 2)" in message


def test_csv_cells_may_have_quotes_commas_and_lines(tmp_path: Path) -> None:
    text = 'de,en\r\n"Er sagt: ""ja"",\r\nglaube ich","He says, yes"\r\n' * 1
    rows = "".join(f'"{i}\nb","c, ""{i}"""\n' for i in range(10))
    (tmp_path / "a.csv").write_text(text + rows, newline="")
    corpus = read_local(tmp_path / "a.csv", DE_EN)
    texts = {
        source: reference
        for pairs in corpus.splits.values()
        for source, (reference,) in zip(pairs.sources, pairs.references, strict=True)
    }
    assert texts['Er sagt: "ja", glaube ich'] == "He says, yes"
    assert texts["7 b"] == 'c, "7"'


def test_references_are_a_list_numbered_columns_or_named_columns(tmp_path: Path) -> None:
    listed = [{"mail": f"m {i}", "short": [f"a {i}", f"b {i}"]} for i in range(10)]
    named = [{"mail": f"m {i}", "a": f"a {i}", "b": f"b {i}"} for i in range(10)]
    numbered = [{"mail": f"m {i}", "s1": f"a {i}", "s2": f"b {i}"} for i in range(10)]
    corpora = [
        read_local(
            save_table(tmp_path / f"{i}{suffix}", rows), Columns(("mail",), (target,))
        ).splits
        for i, (rows, target, suffix) in enumerate(
            [
                (listed, "short", ".jsonl"),
                (listed, "short", ".parquet"),
                (named, "a+b", ".tsv"),
                (numbered, "s", ".csv"),
            ]
        )
    ]
    assert corpora[0]["test"].references[0][0].startswith("a ")
    assert all(splits == corpora[0] for splits in corpora)


def test_a_nested_column_translation_is_looked_into(tmp_path: Path) -> None:
    rows = [{"id": i, "translation": row} for i, row in enumerate(HASHED)]
    flat = read_local(save_table(tmp_path / "flat.jsonl", HASHED), DE_EN)
    for suffix in (".jsonl", ".parquet"):
        assert read_local(save_table(tmp_path / f"a{suffix}", rows), DE_EN).splits == flat.splits
    plain = [{"de": row["de"], "translation": row["en"]} for row in HASHED]
    columns = Columns(("de",), ("translation",))
    for suffix in (".jsonl", ".parquet"):
        assert read_local(save_table(tmp_path / f"b{suffix}", plain), columns).splits == flat.splits


@pytest.mark.parametrize("module", [iwslt, multi30k, parallel_text, wmt16])
def test_every_translation_task_reads_every_form(module, tmp_path: Path) -> None:
    options = {"source": "de", "target": "en", "vocabulary": 60, "bleu_tokenizer": "13a"}
    rows = [row | {"en": f"{row['en']} and so on"} for row in ROWS]
    folder = tmp_path / "folder"
    folder.mkdir()
    for split, name in NAMES.items():
        save_table(folder / f"{split}.jsonl", [row for row in rows if row["split"] == name])
    tasks = [
        module.load(data=str(save_table(tmp_path / f"mine{suffix}", rows)), **options)
        for suffix in (".tsv", ".parquet")
    ]
    tasks.append(module.load(data_dir=str(folder), **options))
    assert len({task.corpus.fingerprint for task in tasks}) == 1
    assert tasks[0].corpus.sizes == {"train": 4, "valid": 2, "test": 2}


def test_a_file_named_after_the_split_to_score_is_that_split(tmp_path: Path) -> None:
    for name in ("mine.tsv", "test.tsv"):
        save_table(tmp_path / name, HASHED)
    hashed = read_local(tmp_path / "mine.tsv", DE_EN).splits
    assert read_local(tmp_path / "test.tsv", DE_EN).splits == hashed
    with only_split("test", None):
        assert read_local(tmp_path / "mine.tsv", DE_EN).splits == {"test": hashed["test"]}
        assert read_local(tmp_path / "test.tsv", DE_EN).sizes == {"test": len(HASHED)}
    save_table(tmp_path / "split.tsv", [row for row in ROWS if row["split"] == "test"])
    with only_split("test", None):
        assert read_local(tmp_path / "split.tsv", DE_EN).splits == {"test": expected_pairs("test")}


def test_summaries_have_any_column_names(tmp_path: Path) -> None:
    rows = [{"mail": f"a long mail {i}", "subject": f"mail {i}"} for i in range(20)]
    path = str(save_table(tmp_path / "mails.tsv", rows))
    options = {"source": "mail", "target": "subject", "vocabulary": 60}
    task = dialogsum.load(data=path, **options)
    assert (task.metric, len(task.splits["train"])) == ("rouge", 16)
    own = parallel_text.load(data=path, metric="rouge", target_limit=4, **options)
    assert (own.metric, own.reward, own.target_limit) == ("rouge", "rouge", 4)
    assert own.corpus.fingerprint == task.corpus.fingerprint
    message = error_message(dialogsum.load, data=path, source="mails", target="subject")
    assert "mails.tsv:1: no column mails; did you mean mail?" in message


def test_a_task_reads_a_changed_file_again(tmp_path: Path) -> None:
    rows = [{"source": f"a b {i}", "target": f"c d e {i}"} for i in range(20)]
    path = save_table(tmp_path / "a.jsonl", rows)
    before = dialogsum.load(data=str(path), vocabulary=60)
    assert dialogsum.load(data=str(path), vocabulary=60) is before
    save_table(path, [*rows, {"source": "new", "target": "text"}])
    assert sum(dialogsum.load(data=str(path), vocabulary=60).corpus.sizes.values()) == 21


def test_real_multi30k_is_the_same_in_every_form(corpora: Path, tmp_path: Path) -> None:
    parallel: Corpus = read_local(corpora / "multi30k", DE_EN)
    for split, pairs in parallel.splits.items():
        texts = zip(pairs.sources, pairs.references, strict=True)
        save_table(tmp_path / f"{split}.csv", [{"de": de, "en": en} for de, (en,) in texts])
    assert read_local(tmp_path, DE_EN).fingerprint == parallel.fingerprint


def test_real_dialogsum_in_one_file_is_split_by_hash(corpora: Path) -> None:
    corpus = read_summaries(corpora / "dialogsum" / "train.jsonl.gz")
    assert corpus.sizes["test"] >= 1_000 <= corpus.sizes["valid"]
    assert sum(corpus.sizes.values()) == 12_460
    assert not corpus.repeated
