"""The cache of token ids: it returns what was encoded, and replaces corrupt files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from textgen_env.data import tokens
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.split import Split
from textgen_env.data.tokens import encode_corpus
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.types import EOS

TEXTS = ["a b c d", "b", "c a"]
LETTERS = Vocabulary.from_words("abcd")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, with caching enabled for small corpora."""
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(tokens, "MIN_CACHED_PAIRS", 1)
    return tmp_path / "tokens"


def corpus_of(texts: list[str]) -> Corpus:
    pairs = Pairs(texts, [(text, "d") for text in texts[::-1]])
    splits = {"train": pairs, "valid": pairs.rows([0]), "test": pairs.rows([])}
    return Corpus("c", "local", "here", splits)


def as_lists(encoded: dict[str, Split]) -> dict[str, tuple[list[list[int]], ...]]:
    return {
        name: tuple([row.tolist() for row in rows] for rows in (split.source, split.target))
        for name, split in encoded.items()
    }


@pytest.mark.parametrize("chunk", [1, 2, 10])
def test_rows_end_in_eos_and_overlong_sources_are_cut(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(tokens, "CHUNK", chunk)
    encoded = as_lists(encode_corpus(corpus_of(TEXTS), LETTERS, 2))
    sources = [[*LETTERS.encode(text), EOS] for text in ("a b", "b", "c a")]
    targets = [[*LETTERS.encode(text), EOS] for text in TEXTS[::-1]]
    assert encoded["train"] == (sources, targets)
    assert encoded["test"] == ([], [])


def test_second_call_reads_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = as_lists(encode_corpus(corpus_of(TEXTS), LETTERS, 9))
    monkeypatch.setattr(Vocabulary, "encode_many", lambda *_: pytest.fail("encoded again"))
    assert as_lists(encode_corpus(corpus_of(TEXTS), LETTERS, 9)) == encoded
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    ("texts", "vocabulary", "limit"),
    [(TEXTS[::-1], LETTERS, 9), (TEXTS, Vocabulary.from_words("dcba"), 9), (TEXTS, LETTERS, 3)],
    ids=["text", "vocabulary", "limit"],
)
def test_cache_key_includes_text_vocabulary_and_limit(
    cache: Path, texts: list[str], vocabulary: Vocabulary, limit: int
) -> None:
    encode_corpus(corpus_of(TEXTS), LETTERS, 9)
    encoded = as_lists(encode_corpus(corpus_of(texts), vocabulary, limit))
    assert encoded["train"][1] == [[*vocabulary.encode(text), EOS] for text in texts[::-1]]
    assert len(list(cache.iterdir())) == 2


def change_a_token(data: bytes) -> bytes:
    """Replace one token of the file by another one of the vocabulary."""
    before, after = (
        np.array(LETTERS.encode(text), np.int32).tobytes() for text in ("a b c d", "b b c d")
    )
    assert before in data
    return data.replace(before, after)


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda data: data[:-5],
        lambda data: b"",
        lambda data: data[:-8] + b"\xff" * 8,
        change_a_token,
        lambda data: data.replace(b"checksum", b"checksam"),
    ],
)
def test_corrupt_cache_is_reported_and_replaced(
    cache: Path, corrupt: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = as_lists(encode_corpus(corpus_of(TEXTS), LETTERS, 9))
    (path,) = cache.iterdir()
    path.write_bytes(corrupt(path.read_bytes()))
    with pytest.warns(UserWarning, match="is corrupted; encoding again"):
        assert as_lists(encode_corpus(corpus_of(TEXTS), LETTERS, 9)) == encoded
    monkeypatch.setattr(Vocabulary, "encode_many", lambda *_: pytest.fail("encoded again"))
    assert as_lists(encode_corpus(corpus_of(TEXTS), LETTERS, 9)) == encoded
