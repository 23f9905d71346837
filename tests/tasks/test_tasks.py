"""The tasks: what their tasks hold, what does not fit the limits, and the exact expert of the toy."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.tasks import copy, iwslt, multi30k, parallel_text, tasks, tightrope, wmt16
from textgen_env.tasks.task import Task, cached_load
from textgen_env.types import BOS, EOS, PAD, UNK, shift

TRANSLATION = [iwslt, multi30k, parallel_text, wmt16]
LETTERS = Vocabulary.from_words("abcdefgh")


def task_of(
    train: list[tuple[str, str]],
    test: list[tuple[str, str]],
    source_limit: int = 5,
    horizon: int = 4,
) -> Task:
    splits = {
        name: Pairs([s for s, _ in rows], [(t,) for _, t in rows])
        for name, rows in (("train", train), ("test", test))
    }
    corpus = Corpus("c", "local", "here", splits)
    return Task(
        "X-v0",
        corpus,
        LETTERS,
        source_limit=source_limit,
        limit=Limit(horizon),
        metric="bleu",
        reward="bleu",
    )


def folder_of(folder: Path) -> Path:
    """Twenty pairs a split, cased, with Moses escapes."""
    folder.mkdir()
    for split in ("train", "valid", "test"):
        for language, text in (
            ("de", "Das ist Satz {} &amp; gut ."),
            ("en", "That &apos;s {} sentence {} ."),
        ):
            lines = [text.format(split, i) for i in range(20)]
            (folder / f"{split}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


# --- what was done to the text


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        (iwslt, {}, "XML and Moses escapes undone, lowercased"),
        (iwslt, {"unescape": False}, "lowercased"),
        (multi30k, {}, "lowercased"),
        (multi30k, {"lowercase": False}, "none"),
        (parallel_text, {}, "none"),
        (parallel_text, {"unescape": True}, "XML and Moses escapes undone"),
        (wmt16, {"split_marks": True}, "XML and Moses escapes undone, punctuation marks set apart"),
    ],
)
def test_the_corpus_says_what_was_done_to_its_text(module, options, words, tmp_path: Path) -> None:
    task = module.load(data_dir=str(folder_of(tmp_path / "mine")), vocabulary=200, **options)
    assert str(task.corpus.preprocessing) == words
    assert str(task.with_vocabulary(task.vocabulary).corpus.preprocessing) == words


def test_the_bundled_text_has_no_escapes_to_undo() -> None:
    task = iwslt.load(corpus="bundled", bundled_pairs=100, vocabulary=300)
    assert str(task.corpus.preprocessing) == "lowercased"


# --- limits


def test_what_fits_exactly_is_kept_and_one_more_is_not() -> None:
    """source_limit 5 and horizon 4 leave room for four and three tokens beside EOS."""
    fits, long_source, long_target = ("a b c d", "a b c"), ("a b c d e", "a"), ("a", "a b c d")
    task = task_of([fits, long_source, long_target, fits], [fits, long_source, long_target])
    train, test = task.splits["train"], task.splits["test"]
    assert (len(train), train.skipped, train.truncated) == (2, 2, 0)
    assert train.texts.sources == ["a b c d"] * 2
    assert (len(test), test.skipped, test.truncated) == (3, 0, 1)
    assert test.source[1].tolist() == [*LETTERS.encode("a b c d"), EOS]
    assert test.target[2].tolist() == [*LETTERS.encode("a b c d"), EOS]
    assert test.texts.sources[1] == "a b c d e"
    banner = "\n".join(task.describe())
    assert "skipped 2 of 4 training pairs" in banner
    assert "truncated 1 test" in banner
    assert "1 of 3 test references exceed the output limit (4 tokens)" in banner


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=9), min_size=1, max_size=20)
)
def test_rows_are_the_texts_in_tokens(rows: list[list[str]]) -> None:
    texts = [" ".join(row) for row in rows]
    split = task_of(
        [(text, text) for text in texts], [("a", "a")], source_limit=10, horizon=10
    ).splits["train"]
    assert (
        [LETTERS.decode(row) for row in split.source]
        == [LETTERS.decode(row) for row in split.target]
        == texts
    )
    for row in (*split.source, *split.target):
        assert row.dtype == np.int64
        assert row[-1] == EOS
        assert not set(row[:-1]) & {PAD, BOS, EOS}


def test_a_corpus_that_never_fits_and_limits_below_two_are_errors() -> None:
    with pytest.raises(UserError, match="X-v0: every training pair is longer"):
        task_of([("a b c d e", "a")], [("a", "a")])
    with pytest.raises(UserError, match="horizon=1"):
        task_of([("a", "a")], [("a", "a")], horizon=1)


def test_a_task_has_pairs_in_every_split() -> None:
    with pytest.raises(
        UserError, match=r"X-v0: split 'test' of c \(here\) has no pairs; add at least one"
    ):
        task_of([("a", "a")], [])
    with pytest.raises(UserError, match="split 'train'"):
        task_of([], [("a", "a")])


# --- every module


@pytest.mark.parametrize("module", tasks().values(), ids=tasks())
def test_every_option_is_documented(module) -> None:
    arguments = inspect.getdoc(module.load).split("Args:")[1]
    documented = re.findall(r"^ {4}(\w+): .+$", arguments, re.MULTILINE)
    assert documented == list(inspect.signature(module.load).parameters)


@pytest.mark.parametrize("module", TRANSLATION, ids=lambda module: module.ID)
def test_translation_from_a_folder(module, tmp_path: Path) -> None:
    task = module.load(
        data_dir=str(folder_of(tmp_path / "mine")), source="de", target="en", vocabulary=120
    )
    assert (task.id, task.metric, task.reward, task.oracle) == (module.ID, "bleu", "bleu", None)
    assert {name: len(split) for name, split in task.splits.items()} == {
        "train": 20,
        "valid": 20,
        "test": 20,
    }
    first = task.splits["test"].texts
    source, target = "Das ist Satz test &amp; gut .", "That &apos;s test sentence 0 ."
    if module in (iwslt, wmt16):
        source, target = source.replace("&amp;", "&"), target.replace("&apos;", "'")
    if module in (iwslt, multi30k):
        source, target = source.lower(), target.lower()
    assert (first.sources[0], first.references[0]) == (source, (target,))
    assert (
        task.vocabulary.decode(task.splits["train"].source[3])
        == task.splits["train"].texts.sources[3]
    )
    assert all(UNK not in row for row in task.splits["train"].target)


@pytest.mark.parametrize("module", TRANSLATION, ids=lambda module: module.ID)
def test_without_a_folder_the_bundled_corpus_is_taken_and_the_banner_says_so(module) -> None:
    task = module.load(bundled_pairs=200, vocabulary=400)
    assert task.corpus.source == "bundled"
    assert task.corpus.sizes["train"] == 200
    banner = "\n".join(task.describe())
    assert "bundled was taken because" in banner
    assert (f"not {module.ID.removesuffix('-v0')}'s" in banner) == (module is not parallel_text)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"bundled_pairs": 0},
            "^bundled_pairs=0: ",
        ),
        (
            {"vocabulary": -1},
            "^vocabulary=-1: ",
        ),
        ({"lowercase": 1}, "^lowercase=1: "),
        ({"source": None}, "^source=None: "),
    ],
)
def test_options_of_the_wrong_kind_are_errors(options, says) -> None:
    with pytest.raises(UserError, match=says):
        parallel_text.load(corpus="bundled", **options)


def test_a_whole_number_will_do_where_a_number_is_expected() -> None:
    with pytest.raises(UserError, match="slip='x': "):
        tightrope.load(slip="x")
    with pytest.raises(UserError, match="slip=1: "):
        tightrope.load(slip=1)
    assert copy.load(train=np.int64(20), valid=2, test=2).corpus.sizes["train"] == 20


def test_equal_options_give_the_same_task_until_a_file_changes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine")
    task = parallel_text.load(data_dir=str(folder), vocabulary=120)
    assert parallel_text.load(str(folder), vocabulary=120) is task
    assert parallel_text.load(str(folder), vocabulary=100) is not task
    lines = (folder / "train.de").read_text(encoding="utf-8").replace("Satz", "Wort")
    (folder / "train.de").write_text(lines, encoding="utf-8")
    again = parallel_text.load(str(folder), vocabulary=120)
    assert again is not task
    assert again.corpus.fingerprint != task.corpus.fingerprint


def test_equal_options_give_the_same_until_a_file_of_the_hub_folder_changes(tmp_path: Path) -> None:
    load = cached_load(lambda hub="": object())
    before = load(hub=str(tmp_path))
    assert load(hub=str(tmp_path)) is before
    (tmp_path / "de-en").mkdir()
    (tmp_path / "de-en" / "train.parquet").touch()
    assert load(hub=str(tmp_path)) is not before


def test_wmt16_is_english_to_german_and_splits_marks_when_asked(tmp_path: Path) -> None:
    task = wmt16.load(str(folder_of(tmp_path / "mine")), vocabulary=120, split_marks=True)
    first = task.splits["test"].texts
    assert (first.sources[0], first.references[0]) == (
        "That ' s test sentence 0 .",
        ("Das ist Satz test & gut .",),
    )
    for text in (
        "Parliament's re-election , ok",
        "Parliament 's re ##AT##-##AT## election, ok",
        "Parliament 's re @-@ election, ok",
    ):
        assert wmt16.split_punctuation(text) == "Parliament ' s re - election , ok"


# --- the hub's layouts


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    return pytest.importorskip("datasets", reason="the hub extra (datasets) is not installed")


def test_wmt16_is_read_from_the_folder_of_its_languages(datasets, tmp_path: Path) -> None:
    """Each pair of languages has a folder of shards, English last in its name; a row holds one column, translation."""
    for languages in ("de-en", "cs-en"):
        folder = tmp_path / "set" / languages
        folder.mkdir(parents=True)
        for split, shards in (("train", 2), ("validation", 1), ("test", 1)):
            for shard in range(shards):
                other = languages[:2]
                rows = [
                    {
                        "translation": {
                            other: f"{other} {split} {shard} {i}",
                            "en": f"en {split} {shard} {i}",
                        }
                    }
                    for i in range(9)
                ]
                datasets.Dataset.from_list(rows).to_parquet(
                    folder / f"{split}-{shard:05}-of-{shards:05}.parquet"
                )
    forward = wmt16.load(corpus="hub", hub=str(tmp_path / "set"), vocabulary=60)
    assert forward.corpus.sizes == {"train": 18, "valid": 9, "test": 9}
    assert forward.splits["test"].texts == Pairs(
        [f"en test 0 {i}" for i in range(9)], [(f"de test 0 {i}",) for i in range(9)]
    )
    back = wmt16.load(
        corpus="hub", hub=str(tmp_path / "set"), vocabulary=60, source="cs", target="en"
    )
    assert (back.splits["valid"].texts.sources[3], *back.splits["valid"].texts.references[3]) == (
        "cs validation 0 3",
        "en validation 0 3",
    )


def test_multi30k_is_read_from_its_three_files(datasets, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for split in ("train", "val", "test"):
        rows = [{"en": f"A {split} {i}.", "de": f"Ein {split} {i}."} for i in range(20)]
        datasets.Dataset.from_list(rows).to_json(tmp_path / "set" / f"{split}.jsonl")
    task = multi30k.load(corpus="hub", hub=str(tmp_path / "set"), vocabulary=60, lowercase=False)
    assert task.corpus.sizes == {"train": 20, "valid": 20, "test": 20}
    texts = task.splits["valid"].texts
    assert {texts.sources[7], *texts.references[7]} == {"A val 7.", "Ein val 7."}


# --- Copy-v0


def test_copy_strings_are_new_in_every_split_and_of_every_length() -> None:
    task = copy.load(symbols=4, max_length=6, horizon=8, train=1000, valid=100, test=100)
    texts = [text for split in task.splits.values() for text in split.texts.sources]
    assert len(set(texts)) == len(texts) == 1200
    assert not task.corpus.repeated
    for split in task.splits.values():
        assert split.texts.references == [(text,) for text in split.texts.sources]
    assert {len(row) for row in task.splits["train"].source} == {2, 3, 4, 5, 6, 7}
    assert (task.source_limit, task.horizon, len(task.vocabulary)) == (7, 8, 8)
    assert (
        task.corpus.fingerprint
        != copy.load(
            symbols=4, max_length=6, horizon=8, train=1000, valid=100, test=100, seed=1
        ).corpus.fingerprint
    )


def test_a_space_too_small_repeats_and_says_so() -> None:
    task = copy.load(symbols=2, max_length=2, horizon=4, train=30, valid=5, test=5)
    assert len(task.splits["train"]) == 30
    assert set(task.splits["train"].texts.sources) <= {
        "a",
        "b",
        "a a",
        "a b",
        "b a",
        "b b",
    }
    assert "earlier split" in task.corpus.describe()


def test_copy_settings_without_sense_are_errors() -> None:
    for options, message in (
        ({"max_length": 12}, "at least 13"),
        ({"min_length": 9}, "^min_length=9: "),
        ({"symbols": 0}, "^symbols=0: "),
        ({"test": 0}, "test=0"),
    ):
        with pytest.raises(UserError, match=message):
            copy.load(**options)
    assert copy.load(symbols=30, train=10, valid=2, test=2).vocabulary.tokens[-1] == "s29"


sources = st.lists(st.lists(st.integers(4, 8), max_size=6), min_size=1, max_size=4)


def padded(rows: list[list[int]], extra: int) -> torch.Tensor:
    width = max(map(len, rows)) + 1 + extra
    return torch.tensor([[*row, EOS, *[PAD] * (width - len(row) - 1)] for row in rows])


@given(sources, st.integers(0, 3), st.integers(1, 10), st.integers(0, 2**31))
def test_the_copy_oracle_ignores_the_past_and_adds_up(
    rows: list[list[int]], extra: int, steps: int, seed: int
) -> None:
    source, oracle = padded(rows, extra), copy.CopyOracle(9)
    prefix = torch.randint(9, (len(rows), steps), generator=torch.Generator().manual_seed(seed))
    scores = oracle.log_probs(source, prefix)
    assert scores.shape == (len(rows), steps, 9)
    assert oracle.queries == len(rows) * steps
    assert scores.isfinite().all()
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(len(rows), steps))
    expected = torch.tensor([[*row, *[EOS] * steps][:steps] for row in rows])
    assert torch.equal(oracle.action(source, prefix), expected)
    assert torch.equal(scores.argmax(-1), expected)
    mask = prefix % 2 == 0
    before = oracle.queries
    assert torch.equal(oracle.log_probs(source, prefix, mask), scores[mask])
    assert oracle.queries - before == mask.sum()


@given(sources, st.integers(0, 3), st.integers(1, 10))
def test_the_copy_oracle_demonstrates_what_it_would_do(
    rows: list[list[int]], extra: int, steps: int
) -> None:
    source, oracle = padded(rows, extra), copy.CopyOracle(9)
    written = oracle.demonstrate(source, steps)
    assert written.length.tolist() == [min(len(row) + 1, steps) for row in rows]
    assert written.action.tolist() == [
        [
            *row[:steps],
            *[EOS] * (steps > len(row)),
            *[PAD] * (written.action.shape[1] - min(len(row) + 1, steps)),
        ]
        for row in rows
    ]
    assert oracle.queries == written.length.sum()
    taken = oracle.log_probs(source, shift(written.action)).gather(-1, written.action[..., None])[
        ..., 0
    ]
    inside = torch.arange(written.action.shape[1]) < written.length[:, None]
    torch.testing.assert_close(written.score, (taken * inside).sum(1))


def test_the_task_of_copy_knows_its_oracle(task: Task) -> None:
    assert task.oracle is not None
    assert (task.metric, task.reward) == ("accuracy", "zero_one")
    split = task.splits["test"]
    for source, target in zip(split.source, split.target, strict=True):
        written = task.oracle().demonstrate(torch.from_numpy(source)[None], task.horizon)
        assert written.action[0].tolist() == target.tolist()


# --- real text


def test_other_real_text_under_the_right_names(corpora: Path, tmp_path: Path) -> None:
    pieces = {
        "train": "train_europarl10k_short",
        "valid": "newstest2013.tok",
        "test": "newstest2013.tok",
    }
    for split, name in pieces.items():
        for language in ("de", "en"):
            (tmp_path / f"{split}.{language}.gz").symlink_to(
                corpora / "wmt_en_de" / f"{name}.{language}.gz"
            )
    task = parallel_text.load(
        str(tmp_path), source="en", target="de", horizon=60, source_limit=60, vocabulary=4_000
    )
    assert task.corpus.sizes == {"train": 10_000, "valid": 3_000, "test": 3_000}
    assert len(task.splits["train"]) + task.splits["train"].skipped == 10_000
    assert len(task.splits["test"]) == 3_000
    assert task.splits["test"].truncated > 0
    assert "3,000 test source sentences also stand" in task.corpus.describe()
