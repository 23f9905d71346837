"""Tables and saved datasets: what is read, and the one-line error for each malformed twin."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.corpora import error_message, read_summaries, write_parallel, write_text
from textgen_env.data import local, tables
from textgen_env.data.columns import Columns
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.local import read_local
from textgen_env.tasks import dialogsum, iwslt, multi30k, parallel_text, wmt16

DE_EN = Columns(("de",), ("en",))
NAMES = {"train": "train", "valid": "dev", "test": "test"}
ROWS = [
    {"id": str(i), "de": f'Das "{i}", ja.', "en": f'That, "{i}"', "split": NAMES[split]}
    for i, split in enumerate(["train"] * 4 + ["valid"] * 2 + ["test"] * 2)
]
HASHED = [{"de": f"Satz {i}", "en": f"sentence {i}"} for i in range(40)]


def tsv(rows: list[dict[str, Any]]) -> bytes:
    return "".join(
        "\t".join(cells) + "\n" for cells in [[*rows[0]], *map(dict.values, rows)]
    ).encode()


def comma_separated(rows: list[dict[str, Any]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def json_list(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows).encode()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow", reason="the hub extra (datasets) is not installed")
    from pyarrow.parquet import write_table

    file = io.BytesIO()
    write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


FORMATS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    ".tsv": tsv,
    ".tsv.gz": tsv,
    ".csv": comma_separated,
    ".csv.gz": comma_separated,
    ".jsonl": json_lines,
    ".jsonl.gz": json_lines,
    ".json": json_list,
    ".parquet": parquet,
}


def save(path: Path, rows: list[dict[str, Any]]) -> Path:
    write_text(path, FORMATS["".join(path.suffixes)](rows))
    return path


def expected(split: str) -> Pairs:
    rows = [row for row in ROWS if row["split"] == NAMES[split]]
    return Pairs([row["de"] for row in rows], [(row["en"],) for row in rows])


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_file_with_a_column_of_splits(suffix: str, tmp_path: Path) -> None:
    corpus = read_local(save(tmp_path / f"mine{suffix}", ROWS), DE_EN)
    assert (corpus.name, corpus.source, corpus.notes) == ("mine", "local", ())
    assert corpus.splits == {split: expected(split) for split in NAMES}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_with_one_file_per_split(suffix: str, tmp_path: Path) -> None:
    for name in NAMES.values():
        rows = [row | {"split": "x"} for row in ROWS if row["split"] == name]
        save(tmp_path / f"{name}{suffix}", rows)
    corpus = read_local(tmp_path, DE_EN)
    assert corpus.splits == {split: expected(split) for split in NAMES}
    assert corpus.name == tmp_path.name


@pytest.mark.parametrize("suffix", FORMATS)
def test_without_a_column_of_splits_a_hash_splits(suffix: str, tmp_path: Path) -> None:
    corpus = read_local(save(tmp_path / f"mine{suffix}", HASHED), DE_EN)
    assert corpus.sizes == {"train": 32, "valid": 4, "test": 4}
    assert "a hash of each source chooses its split" in corpus.describe()
    turned = read_local(save(tmp_path / f"turned{suffix}", HASHED[::-1]), DE_EN)
    for split, pairs in corpus.splits.items():
        assert sorted(turned.splits[split].sources) == sorted(pairs.sources)


def test_equal_sources_are_in_the_same_split_and_held_out_sizes_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = read_local(save(tmp_path / "a.jsonl", HASHED * 3), DE_EN)
    assert not corpus.repeated
    assert corpus.sizes == {"train": 96, "valid": 12, "test": 12}
    monkeypatch.setattr(local, "HELD_OUT", 1)
    assert read_local(tmp_path / "a.jsonl", DE_EN).sizes == {"train": 114, "valid": 3, "test": 3}


@pytest.mark.parametrize("suffix", [".tsv", ".csv"])
def test_numbers_are_the_columns_of_a_file_without_a_header(suffix: str, tmp_path: Path) -> None:
    with_header = save(tmp_path / f"a{suffix}", HASHED)
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
        read_local(save(tmp_path / f"{i}{suffix}", rows), Columns(("mail",), (target,))).splits
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
    flat = read_local(save(tmp_path / "flat.jsonl", HASHED), DE_EN)
    for suffix in (".jsonl", ".parquet"):
        assert read_local(save(tmp_path / f"a{suffix}", rows), DE_EN).splits == flat.splits
    plain = [{"de": row["de"], "translation": row["en"]} for row in HASHED]
    columns = Columns(("de",), ("translation",))
    for suffix in (".jsonl", ".parquet"):
        assert read_local(save(tmp_path / f"b{suffix}", plain), columns).splits == flat.splits


# name: (file, content, the beginning of the message after the folder)
GOOD = b"de\ten\neins\tone\n"
MALFORMED = {
    "wrong column": ("a.tsv", b"dee\ten\neins\tone\n", "a.tsv:1: no column de; did you mean dee?"),
    "wrong column of JSON": (
        "a.jsonl",
        b'{"de": "a", "em": "b"}\n',
        "a.jsonl:1: no column en; d",
    ),
    "ragged TSV": ("a.tsv", GOOD + b"zwei\n", "a.tsv:3: number of columns is 1, but 2"),
    "ragged CSV": ("a.csv", b"de,en\na,b\nc,d,e\n", "a.csv:3: number of columns is 3, but 2"),
    "stray tab": ("a.tsv", GOOD + b"a\tb\tc\n", "a.tsv:3: number of columns is 3, but 2"),
    "empty line": ("a.tsv", GOOD + b"\nzwei\ttwo\n", "a.tsv:3: empty line"),
    "empty line of CSV": ("a.csv", b"de,en\na,b\n\n", "a.csv:3: empty line"),
    "not UTF-8": ("a.tsv", GOOD + b"fr\xe4h\tearly\n", "a.tsv:3: byte 0xe4 is not UTF-8"),
    "not UTF-8 CSV": ("a.csv", b"de,en\nfr\xe4h,b\n", "a.csv:2: byte 0xe4 is not UTF-8"),
    "empty file": ("a.tsv", b"", "a.tsv: the file is empty"),
    "empty CSV": ("a.csv", b"", "a.csv: the file is empty"),
    "empty JSON": ("a.json", b"", "a.json: the file is empty"),
    "header alone": ("a.csv", b"de,en\n", "a.csv has no rows"),
    "empty list": ("a.json", b"[]", "a.json has no rows"),
    "empty cell": ("a.tsv", GOOD + b"zwei\t \n", "a.tsv:3: en is empty"),
    "empty cell of CSV": ("a.csv", b'de,en\n"",b\n', "a.csv:2: de is empty"),
    "null": ("a.jsonl", b'{"de": null, "en": "b"}\n', "a.jsonl:1: de is empty"),
    "duplicate header": ("a.tsv", b"de\ten\tde\n", "a.tsv:1: two columns are named 'de'"),
    "duplicate CSV header": ("a.csv", b"en,de,en\n", "a.csv:1: two columns are named 'en'"),
    "duplicate field": ("a.jsonl", b'{"de": "a", "de": "b"}\n', "a.jsonl:1: cannot be parsed (dup"),
    "unknown split": (
        "a.tsv",
        b"de\ten\tsplit\neins\tone\ttrain\nzwei\ttwo\ttraim\n",
        "a.tsv:3: unknown split 'traim'; did you mean 'train'?",
    ),
    "split that is no text": (
        "a.jsonl",
        b'{"de": "a", "en": "b", "split": ["x"]}\n',
        "a.jsonl:1: unknown split",
    ),
    "missing split": (
        "a.tsv",
        b"de\ten\tsplit\neins\tone\ttrain\nzwei\ttwo\ttest\n",
        "a.tsv: no row has the split valid",
    ),
    "split for some": (
        "a.jsonl",
        b'{"de": "a", "en": "b", "split": "test"}\n{"de": "a", "en": "b"}\n',
        "a.jsonl:2: only some rows have a split",
    ),
    "too few rows": ("a.tsv", GOOD, "a.tsv: 1 different sources are too few for a split by hash"),
    "open quote": ("a.csv", b'de,en\na,b\n"c,d\ne,f\n', "a.csv:3: cannot be parsed as CSV"),
    "text after a quote": ("a.csv", b'de,en\n"a"b,c\n', "a.csv:2: cannot be parsed as CSV"),
    "open quote and a long file": (
        "a.csv",
        b'de,en\n"a,b\n' + b"c,d\n" * 50_000,
        "a.csv:2: cannot be parsed as CSV",
    ),
    "number": ("a.jsonl", b'{"de": 3, "en": "b"}\n', "a.jsonl:1: de must be a string, got 3"),
    "nested": ("a.jsonl", b'{"de": "a", "en": {"x": 1}}\n', "a.jsonl:1: en must be a string or a"),
    "nested list": (
        "a.jsonl",
        b'{"de": "a", "en": [["b"]]}\n',
        "a.jsonl:1: en must be a string",
    ),
    "list of no objects": ("a.json", b"[1]", "a.json, row 1: expected an object"),
    "not JSON": ("a.json", b"[", "a.json: not JSON"),
    "truncated JSON": ("a.jsonl", b'{"de": "a", "e', "a.jsonl:1: not JSON"),
    "no gzip": ("a.csv.gz", None, "a.csv.gz: incomplete gzip file"),
    "no Parquet": ("a.parquet", GOOD, "a.parquet: cannot be read ("),
    "empty Parquet": ("a.parquet", b"", "a.parquet: cannot be read ("),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    file, content, message = MALFORMED[name]
    if file.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    if content is None:
        (tmp_path / file).write_bytes(GOOD)
    else:
        write_text(tmp_path / file, content)
    assert f"{tmp_path}/{message}" in error_message(read_local, tmp_path / file, DE_EN)


@pytest.mark.parametrize("suffix", [".tsv.gz", ".csv.gz", ".jsonl.gz", ".parquet"])
def test_a_truncated_file_is_refused(suffix: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"a{suffix}", HASHED)
    for size in (path.stat().st_size - 9, 20):
        path.write_bytes(path.read_bytes()[:size])
        message = error_message(read_local, path, DE_EN)
        assert f"a{suffix}: " in message
        assert "copy it again" in message


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"de": 1, "en": "b"}], "a.parquet, row 1: de must be a string, got 1"),
        ([{"de": "a", "en": {"x": 1}}], "en must be a string or a list of strings"),
        ([{"de": "a", "en": b"b"}], "got bytes"),
        ([{"de": "a", "en": None}], "a.parquet, row 1: en is empty"),
        ([{"deu": "a", "en": "b"}], "a.parquet: no column de; did you mean deu?"),
        ([{"de": "a", "en": "b", "split": "tset"}], "row 1: unknown split 'tset'; did you mean"),
    ],
)
def test_a_parquet_file_with_other_content_is_refused(rows, message: str, tmp_path: Path) -> None:
    assert message in error_message(read_local, save(tmp_path / "a.parquet", rows), DE_EN)


def test_parquet_needs_pyarrow_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.parquet", HASHED)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "-e '.[hub]'" in error_message(read_local, path, DE_EN)


def test_tables_have_the_limits_of_text_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.parquet", HASHED)
    monkeypatch.setattr(tables, "MAX_LINES", 30)
    assert "row 31: more than 30 rows" in error_message(read_local, path, DE_EN)
    monkeypatch.setattr(tables, "MAX_FILE", 100)
    assert "more than 100 characters of text" in error_message(read_local, path, DE_EN)


def write_splits(folder: Path, suffix: str = ".tsv") -> Path:
    folder.mkdir(exist_ok=True)
    for split in ("train", "valid", "test"):
        save(folder / f"{split}{suffix}", HASHED)
    return folder


def rename(old: str, new: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / old).rename(folder / new)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: write_parallel(folder), "has both test.tsv and dev.de; keep one"),
        (lambda folder: save(folder / "train.csv", HASHED), "has both train.csv and train.tsv"),
        (lambda folder: save(folder / "dev.tsv", HASHED), "has both dev.tsv and valid.tsv"),
        (lambda folder: save(folder / "test.tsv.gz", HASHED), "both test.tsv and test.tsv.gz"),
        (lambda folder: (folder / "newstest2014.de").touch(), "and newstest2014.de; keep one"),
        (lambda folder: (folder / "dataset_dict.json").touch(), "has both dataset_dict.json and"),
        (rename("test.tsv", "tset.tsv"), "no test.tsv (or test.tsv.gz) in"),
        (rename("test.tsv", "tset.tsv"), "did you mean tset.tsv?"),
        (lambda folder: (folder / "valid.tsv").write_text("de\ten\n"), "valid split has no rows"),
    ],
)
def test_an_ambiguous_or_incomplete_folder_is_refused(change, message: str, tmp_path: Path) -> None:
    folder = write_splits(tmp_path / "mine")
    change(folder)
    error = error_message(read_local, folder, DE_EN)
    assert message.replace("dev.de", "test.de") in error


@pytest.mark.parametrize("name", ["data.tsv", "train-00000-of-00001.parquet"])
def test_a_folder_with_a_table_of_no_split_says_what_to_do(name: str, tmp_path: Path) -> None:
    save(tmp_path / name, HASHED)
    message = error_message(read_local, tmp_path, DE_EN)
    assert f"has {name}, but no file of a split" in message
    assert f"env.data={tmp_path / name}" in message
    assert f"env.data=hub:{tmp_path}" in message


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("dev.de", "dev.en"), "has both valid.de and dev.de"),
        (("dev.en",), "has both valid.de and dev.en"),
        (("newstest2014.de", "newstest2014.en"), "newstest*, which is the test split"),
        (("train.tags.de-en.de",), "has both train.tags.de-en.de and train.de"),
    ],
)
def test_parallel_files_of_two_forms_are_refused(
    extra: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    folder = write_parallel(tmp_path)
    for name in extra:
        (folder / name).write_text("text\n")
    assert message in error_message(read_local, folder, DE_EN)


def test_the_source_and_the_target_differ(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tsv", HASHED)
    assert "both 'de'" in error_message(read_local, path, Columns(("de",), ("de",)))
    assert "env.tedx=true" in error_message(read_local, path, DE_EN, True)


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
    assert corpus.splits == {split: expected(split) for split in NAMES}


def test_a_single_saved_dataset_is_split_like_a_file(tmp_path: Path, saved: Path) -> None:
    import datasets

    datasets.Dataset.from_list(HASHED).save_to_disk(tmp_path / "one")
    file = read_local(save(tmp_path / "one.jsonl", HASHED), DE_EN)
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


@pytest.mark.parametrize("module", [iwslt, multi30k, parallel_text, wmt16])
def test_every_translation_task_reads_every_form(module, tmp_path: Path, saved: Path) -> None:
    options = {"source": "de", "target": "en", "vocabulary": 60, "bleu_tokenizer": "13a"}
    rows = [row | {"en": f"{row['en']} and so on"} for row in ROWS]
    folder = tmp_path / "folder"
    folder.mkdir()
    for split, name in NAMES.items():
        save(folder / f"{split}.jsonl", [row for row in rows if row["split"] == name])
    tasks = [
        module.load(data=str(save(tmp_path / f"mine{suffix}", rows)), **options)
        for suffix in (".tsv", ".parquet")
    ]
    tasks.append(module.load(data_dir=str(folder), **options))
    assert len({task.corpus.fingerprint for task in tasks}) == 1
    assert tasks[0].corpus.sizes == {"train": 4, "valid": 2, "test": 2}


def test_summaries_have_any_column_names(tmp_path: Path) -> None:
    rows = [{"mail": f"a long mail {i}", "subject": f"mail {i}"} for i in range(20)]
    path = str(save(tmp_path / "mails.tsv", rows))
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
    path = save(tmp_path / "a.jsonl", rows)
    before = dialogsum.load(data=str(path), vocabulary=60)
    assert dialogsum.load(data=str(path), vocabulary=60) is before
    save(path, [*rows, {"source": "new", "target": "text"}])
    assert sum(dialogsum.load(data=str(path), vocabulary=60).corpus.sizes.values()) == 21


def test_real_multi30k_is_the_same_in_every_form(corpora: Path, tmp_path: Path) -> None:
    parallel: Corpus = read_local(corpora / "multi30k", DE_EN)
    for split, pairs in parallel.splits.items():
        texts = zip(pairs.sources, pairs.references, strict=True)
        save(tmp_path / f"{split}.csv", [{"de": de, "en": en} for de, (en,) in texts])
    assert read_local(tmp_path, DE_EN).fingerprint == parallel.fingerprint


def test_real_dialogsum_in_one_file_is_split_by_hash(corpora: Path) -> None:
    corpus = read_summaries(corpora / "dialogsum" / "train.jsonl.gz")
    assert corpus.sizes["test"] >= 1_000 <= corpus.sizes["valid"]
    assert sum(corpus.sizes.values()) == 12_460
    assert not corpus.repeated
