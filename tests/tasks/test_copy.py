"""Copy-v0: its strings and its exact expert."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from textgen_env.errors import UserError
from textgen_env.tasks import copy
from textgen_env.types import EOS, PAD, shift

OPTIONS = {
    "symbols": 4, "max_length": 6, "horizon": 8, "train": 1000, "valid": 100, "test": 100
}  # fmt: skip


def test_strings_are_distinct_across_splits_and_have_every_length():
    task = copy.load(**OPTIONS)
    texts = [text for split in task.splits.values() for text in split.texts.sources]
    assert len(set(texts)) == len(texts) == 1200
    assert not task.corpus.repeated
    for split in task.splits.values():
        assert split.texts.references == [(text,) for text in split.texts.sources]
    assert {len(row) for row in task.splits["train"].source} == {2, 3, 4, 5, 6, 7}
    assert (task.source_limit, task.horizon, len(task.vocabulary)) == (7, 8, 8)
    assert task.corpus.fingerprint != copy.load(**OPTIONS, seed=1).corpus.fingerprint


def test_too_few_distinct_strings_are_repeated_and_reported():
    task = copy.load(symbols=2, max_length=2, horizon=4, train=30, valid=5, test=5)
    sources = task.splits["train"].texts.sources
    assert len(sources) == 30
    assert set(sources) <= {"a", "b", "a a", "a b", "b a", "b b"}
    assert "earlier split" in task.corpus.describe()


def test_many_symbols_are_numbered():
    assert copy.load(symbols=30, train=10, valid=2, test=2).vocabulary.tokens[-1] == "s29"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 12}, "^horizon=12 .* at least 13"),
        ({"min_length": 9}, "^min_length=9: "),
        ({"symbols": 0}, "^symbols=0: "),
        ({"test": 0}, "^test=0: "),
    ],
)
def test_invalid_options_raise_clear_errors(options, message):
    with pytest.raises(UserError, match=message):
        copy.load(**options)


SOURCES = st.lists(st.lists(st.integers(4, 8), max_size=6), min_size=1, max_size=4)


def pad_sources(rows: list[list[int]], extra: int) -> torch.Tensor:
    width = max(map(len, rows)) + 1 + extra
    return torch.tensor([[*row, EOS, *[PAD] * (width - len(row) - 1)] for row in rows])


@given(SOURCES, st.integers(0, 3), st.integers(1, 10), st.integers(0, 2**31))
def test_oracle_ignores_the_prefix(rows, extra, steps, seed):
    source, oracle = pad_sources(rows, extra), copy.CopyOracle(9)
    prefix = torch.randint(9, (len(rows), steps), generator=torch.Generator().manual_seed(seed))
    log_probs = oracle.log_probs(source, prefix)
    assert log_probs.shape == (len(rows), steps, 9)
    assert oracle.queries == len(rows) * steps
    assert log_probs.isfinite().all()
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(len(rows), steps))
    expected = torch.tensor([[*row, *[EOS] * steps][:steps] for row in rows])
    assert torch.equal(oracle.action(source, prefix), expected)
    assert torch.equal(log_probs.argmax(-1), expected)
    mask = prefix % 2 == 0
    queries = oracle.queries
    assert torch.equal(oracle.log_probs(source, prefix, mask), log_probs[mask])
    assert oracle.queries - queries == mask.sum()


@given(SOURCES, st.integers(0, 3), st.integers(1, 10))
def test_oracle_demonstrates_its_actions(rows, extra, limit):
    source, oracle = pad_sources(rows, extra), copy.CopyOracle(9)
    episodes = oracle.demonstrate(source, limit)
    expected = [[*row, EOS][:limit] for row in rows]
    width = episodes.action.shape[1]
    assert episodes.length.tolist() == list(map(len, expected))
    assert episodes.action.tolist() == [row + [PAD] * (width - len(row)) for row in expected]
    assert oracle.queries == episodes.length.sum()
    log_probs = oracle.log_probs(source, shift(episodes.action))
    score = log_probs.gather(-1, episodes.action[..., None])[..., 0]
    mask = torch.arange(width) < episodes.length[:, None]
    torch.testing.assert_close(episodes.score, (score * mask).sum(1))


def test_task_demonstrates_its_references(task):
    assert (task.metric, task.reward) == ("accuracy", "zero_one")
    split = task.splits["test"]
    for source, target in zip(split.source, split.target, strict=True):
        episodes = task.oracle().demonstrate(torch.from_numpy(source)[None], task.horizon)
        assert episodes.action[0].tolist() == target.tolist()
