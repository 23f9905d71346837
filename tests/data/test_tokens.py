"""Token ids in the cache: what is read back is what was encoded, and what is damaged is encoded again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from textgen_env.data import tokens
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.types import EOS

TEXTS = ["a b c d", "b", "c a"]
LETTERS = Vocabulary.from_words("abcd")


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache that keeps every corpus."""
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(tokens, "KEPT_FROM", 1)
    return tmp_path / "tokens"


def corpus_of(texts: list[str]) -> Corpus:
    pairs = Pairs(texts, [(text, "d") for text in texts[::-1]])
    return Corpus(
        "c", "local", "here", {"train": pairs, "valid": pairs.rows([0]), "test": pairs.rows([])}
    )


def lists(encoded) -> dict:
    return {
        split: tuple([row.tolist() for row in rows.split()] for rows in sides)
        for split, sides in encoded.items()
    }


def test_rows_end_in_eos_and_long_sources_one_beyond_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = (
        [[*LETTERS.encode("a b"), EOS], [*LETTERS.encode("b"), EOS], [*LETTERS.encode("c a"), EOS]],
    )
    for chunk in (1, 2, 10):
        monkeypatch.setattr(tokens, "CHUNK", chunk)
        encoded = lists(tokens.encode_corpus(corpus_of(TEXTS), LETTERS, 2))
        assert encoded["train"][:1] == expected
        assert encoded["train"][1] == [[*LETTERS.encode(text), EOS] for text in TEXTS[::-1]]
        assert encoded["test"] == ([], [])


def test_a_second_time_they_are_read(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lists(tokens.encode_corpus(corpus_of(TEXTS), LETTERS, 9))
    monkeypatch.setattr(Vocabulary, "encode_many", lambda *_: pytest.fail("encoded again"))
    assert lists(tokens.encode_corpus(corpus_of(TEXTS), LETTERS, 9)) == first
    assert len(list(cached.iterdir())) == 1


@pytest.mark.parametrize(
    ("texts", "vocabulary", "limit"),
    [(TEXTS[::-1], LETTERS, 9), (TEXTS, Vocabulary.from_words("dcba"), 9), (TEXTS, LETTERS, 3)],
    ids=["text", "vocabulary", "limit"],
)
def test_another_text_vocabulary_or_limit_is_encoded_anew(
    cached: Path, texts, vocabulary, limit
) -> None:
    tokens.encode_corpus(corpus_of(TEXTS), LETTERS, 9)
    found = lists(tokens.encode_corpus(corpus_of(texts), vocabulary, limit))
    assert found["train"][1] == [[*vocabulary.encode(text), EOS] for text in texts[::-1]]
    assert len(list(cached.iterdir())) == 2


def another_token(data: bytes) -> bytes:
    """The file with one token changed to another of the vocabulary."""
    right, wrong = (
        np.array(LETTERS.encode(text), np.int32).tobytes() for text in ("a b c d", "b b c d")
    )
    assert right in data
    return data.replace(right, wrong)


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[:-5],
        lambda data: b"",
        lambda data: data[:-8] + b"\xff" * 8,
        another_token,
        lambda data: data.replace(b"checksum", b"checksam"),
    ],
)
def test_a_damaged_file_is_said_and_written_again(
    cached: Path, harm, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lists(tokens.encode_corpus(corpus_of(TEXTS), LETTERS, 9))
    (path,) = cached.iterdir()
    path.write_bytes(harm(path.read_bytes()))
    with pytest.warns(UserWarning, match="is damaged and is written again"):
        assert lists(tokens.encode_corpus(corpus_of(TEXTS), LETTERS, 9)) == whole
    monkeypatch.setattr(Vocabulary, "encode_many", lambda *_: pytest.fail("encoded again"))
    assert lists(tokens.encode_corpus(corpus_of(TEXTS), LETTERS, 9)) == whole
