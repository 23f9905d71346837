"""``Task``: limits, tokenized rows, options and caching."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.tasks import copy, parallel_text, tasks, tightrope
from textgen_env.tasks.task import Task, cached_load
from textgen_env.types import BOS, EOS, PAD

LETTERS = Vocabulary.from_words("abcdefgh")
Rows = list[tuple[str, str]]


def make_task(train: Rows, test: Rows, source_limit: int = 5, horizon: int = 4) -> Task:
    splits = {
        name: Pairs([source for source, _ in rows], [(target,) for _, target in rows])
        for name, rows in (("train", train), ("test", test))
    }
    corpus = Corpus("c", "local", "here", splits)
    return Task("X-v0", corpus, LETTERS, source_limit, Limit(horizon), "bleu", "bleu")


def test_pairs_up_to_the_limits_are_kept():
    """Source limit 5 and horizon 4 allow four and three tokens before EOS."""
    fits, long_source, long_target = ("a b c d", "a b c"), ("a b c d e", "a"), ("a", "a b c d")
    task = make_task([fits, long_source, long_target, fits], [fits, long_source, long_target])
    train, test = task.splits["train"], task.splits["test"]
    assert (len(train), train.skipped, train.truncated) == (2, 2, 0)
    assert train.texts.sources == ["a b c d"] * 2
    assert (len(test), test.skipped, test.truncated) == (3, 0, 1)
    assert test.source[1].tolist() == [*LETTERS.encode("a b c d"), EOS]
    assert test.target[2].tolist() == [*LETTERS.encode("a b c d"), EOS]
    assert test.texts.sources[1] == "a b c d e"
    description = "\n".join(task.describe())
    assert "skipped 2 of 4 training pairs" in description
    assert "truncated 1 test sources" in description
    assert "1 of 3 test references exceed the output limit (4 tokens)" in description


WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=9)


@given(st.lists(WORDS, min_size=1, max_size=20))
def test_rows_decode_to_the_texts(rows):
    texts = [" ".join(row) for row in rows]
    pairs = [(text, text) for text in texts]
    split = make_task(pairs, [("a", "a")], source_limit=10, horizon=10).splits["train"]
    assert [LETTERS.decode(row) for row in split.source] == texts
    assert [LETTERS.decode(row) for row in split.target] == texts
    for row in (*split.source, *split.target):
        assert row.dtype == np.int64
        assert row[-1] == EOS
        assert not set(row[:-1]) & {PAD, BOS, EOS}


@pytest.mark.parametrize(
    ("train", "test", "limits", "message"),
    [
        ([("a b c d e", "a")], [("a", "a")], {}, "X-v0: every training pair is longer"),
        ([("a", "a")], [("a", "a")], {"horizon": 1}, "horizon=1"),
        ([("a", "a")], [], {}, r"X-v0: split 'test' of c \(here\) has no pairs; add at least one"),
        ([], [("a", "a")], {}, "split 'train'"),
    ],
)
def test_unusable_corpora_and_limits_raise_clear_errors(train, test, limits, message):
    with pytest.raises(UserError, match=message):
        make_task(train, test, **limits)


@pytest.mark.parametrize("module", tasks().values(), ids=tasks())
def test_every_option_is_documented(module):
    arguments = inspect.getdoc(module.load).split("Args:")[1]
    documented = re.findall(r"^ {4}(\w+): .+$", arguments, re.MULTILINE)
    assert documented == list(inspect.signature(module.load).parameters)


@pytest.mark.parametrize(
    "options", [{"bundled_pairs": 0}, {"vocabulary": -1}, {"lowercase": 1}, {"source": None}]
)
def test_invalid_options_raise_clear_errors(options):
    ((name, value),) = options.items()
    with pytest.raises(UserError, match=f"^{name}={value}: "):
        parallel_text.load(corpus="bundled", **options)


def test_integers_are_accepted_where_a_float_is_expected():
    with pytest.raises(UserError, match=r"^slip='x': "):  # not a number
        tightrope.load(slip="x")
    with pytest.raises(UserError, match=r"^slip=1: "):  # a number, but out of range
        tightrope.load(slip=1)
    assert copy.load(train=np.int64(20), valid=2, test=2).corpus.sizes["train"] == 20


def test_equal_options_share_a_task_until_a_file_changes(tmp_path):
    for split in ("train", "valid", "test"):
        for language in ("de", "en"):
            (tmp_path / f"{split}.{language}").write_text(f"a text of the {split} split\n" * 20)
    task = parallel_text.load(data_dir=str(tmp_path), vocabulary=120)
    assert parallel_text.load(None, str(tmp_path), vocabulary=120) is task
    assert parallel_text.load(data_dir=str(tmp_path), vocabulary=100) is not task
    (tmp_path / "train.de").write_text("another text of the train split\n" * 20)
    changed = parallel_text.load(data_dir=str(tmp_path), vocabulary=120)
    assert changed is not task
    assert changed.corpus.fingerprint != task.corpus.fingerprint


def test_equal_options_share_a_task_until_the_hub_folder_changes(tmp_path):
    load = cached_load(lambda hub="": object())
    before = load(hub=str(tmp_path))
    assert load(hub=str(tmp_path)) is before
    (tmp_path / "de-en").mkdir()
    (tmp_path / "de-en" / "train.parquet").touch()
    assert load(hub=str(tmp_path)) is not before


@pytest.mark.parametrize(
    ("ratio", "offset"), [(True, 4), (1.0, True), ("1", 4), ([1], 4), (1, 4.0), (1.0, None)]
)
def test_equal_values_of_another_type_do_not_share_a_task(ratio, offset):
    options = {"train": 20, "valid": 2, "test": 2}
    copy.load(**options, limit_ratio=1.0, limit_offset=4)
    with pytest.raises(UserError, match="limit_"):
        copy.load(**options, limit_ratio=ratio, limit_offset=offset)
