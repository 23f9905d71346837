"""Vocabularies: round trips, determinism, special tokens, the cache, and the teacher check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.corpora import error_message, make_corpus
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.vocabulary import SPECIALS, Vocabulary, check_vocabulary, subword_vocabulary
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, PAD, UNK

TEXTS = [
    "das kleine haus am see .",
    "the little house by the lake .",
    "häuser & seen , 'alt' ≠ <s> </s> <unk> <pad>",
    "x</s>y<s>z",
] * 3
VOCABULARY = Vocabulary.train(TEXTS, 80)
seen_text = st.text(st.sampled_from(sorted(set("".join(TEXTS)))), max_size=40)
specials = st.lists(st.sampled_from(SPECIALS))


@given(seen_text)
def test_decode_inverts_encode_for_seen_characters(text: str) -> None:
    text = " ".join(text.split())
    assert VOCABULARY.decode(VOCABULARY.encode(text)) == text


@given(st.text(max_size=40) | specials.map(" ".join) | specials.map("".join))
def test_no_text_encodes_to_a_special_token(text: str) -> None:
    assert all(UNK <= token < len(VOCABULARY) for token in VOCABULARY.encode(text))
    assert all(token >= UNK for token in Vocabulary.from_words(["a"]).encode(text))


def test_special_token_in_a_text_is_encoded_as_characters() -> None:
    vocabulary = Vocabulary.train(["a < s > / b"] * 3, 80)
    assert vocabulary.decode(vocabulary.encode("a <s> </s> b")) == "a <s> </s> b"


def test_special_tokens_have_the_first_ids() -> None:
    assert VOCABULARY.tokens[:4] == list(SPECIALS)
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)
    assert len(VOCABULARY) == len(VOCABULARY.tokens) == 80


def test_decode_stops_at_eos_and_skips_padding() -> None:
    first, second = VOCABULARY.encode("see"), VOCABULARY.encode("lake")
    assert VOCABULARY.decode([BOS, *first, PAD, EOS, *second, EOS]) == "see"
    assert VOCABULARY.decode([]) == VOCABULARY.decode([EOS, *second]) == ""


def test_unseen_character_becomes_unk() -> None:
    assert UNK in VOCABULARY.encode("see 漢")
    assert VOCABULARY.decode(VOCABULARY.encode("see 漢")) == "see <unk>"


def test_encode_many_equals_encode() -> None:
    assert VOCABULARY.encode_many(TEXTS) == [VOCABULARY.encode(text) for text in TEXTS]
    assert VOCABULARY.encode_many([]) == []
    assert VOCABULARY.encode("") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("a" * 100_001, "text of 100,001 characters"), ("\ud800", "unpaired surrogate")],
)
def test_text_the_tokenizer_cannot_encode_is_an_error(text: str, message: str) -> None:
    assert message in error_message(Vocabulary.from_words(["a"]).encode, text)
    assert message in error_message(Vocabulary.train, ["a", text], 100)


def test_training_is_deterministic_across_processes() -> None:
    script = (
        "from textgen_env.data.vocabulary import Vocabulary; "
        f"print(Vocabulary.train({TEXTS!r}, 80).to_json(), end='')"
    )
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    assert result.stdout == VOCABULARY.to_json() == Vocabulary.train(TEXTS, 80).to_json()


def test_json_and_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    VOCABULARY.save(path)
    for loaded in (Vocabulary.from_json(VOCABULARY.to_json()), Vocabulary.load(path)):
        assert loaded.to_json() == VOCABULARY.to_json()
        assert loaded.fingerprint == VOCABULARY.fingerprint
        assert loaded.encode_many(TEXTS) == VOCABULARY.encode_many(TEXTS)
    assert [*tmp_path.iterdir()] == [path]


def test_invalid_file_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(VOCABULARY.to_json()[:200], encoding="utf-8")
    with pytest.raises(UserError, match=r"v\.json"):
        Vocabulary.load(path)
    path.write_text(VOCABULARY.to_json().replace('"<pad>"', '"[PAD]"'), encoding="utf-8")
    with pytest.raises(UserError, match=r"v\.json: .*<pad> <s> </s> <unk>"):
        Vocabulary.load(path)


def test_word_vocabulary_has_one_token_per_word() -> None:
    vocabulary = Vocabulary.from_words(["a", "b"])
    assert vocabulary.encode("b a b x") == [5, 4, 5, UNK]
    assert vocabulary.decode([5, 4, EOS]) == "b a"
    assert len(vocabulary) == 6


def test_size_below_the_alphabet_is_an_error() -> None:
    with pytest.raises(UserError, match="vocabulary=10 is too small"):
        Vocabulary.train(TEXTS, 10)


def test_check_accepts_equal_vocabularies_and_names_both_otherwise() -> None:
    other = Vocabulary.train(TEXTS, 70)
    check_vocabulary(VOCABULARY, Vocabulary.from_json(VOCABULARY.to_json()))
    teacher, student = VOCABULARY.fingerprint, other.fingerprint
    pattern = rf"runs/t.*80 tokens.*{teacher}.*70 tokens.*{student}"
    with pytest.raises(UserError, match=pattern):
        check_vocabulary(VOCABULARY, other, "runs/t")


def test_subword_vocabulary_is_trained_on_first_references_and_cached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    references = [(text.upper(), "second reference, not trained on: @") for text in TEXTS]
    corpus = Corpus("c", "local", "here", {"train": Pairs(TEXTS, references)})
    vocabulary = subword_vocabulary(corpus, 100)
    monkeypatch.setattr(Vocabulary, "train", lambda *_: pytest.fail("trained again"))
    assert subword_vocabulary(corpus, 100).to_json() == vocabulary.to_json()
    assert UNK not in vocabulary.encode("HAUS haus")
    assert UNK in vocabulary.encode("@")
    assert [path.suffix for path in (tmp_path / "vocabularies").iterdir()] == [".json"]


def test_corrupt_cached_vocabulary_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    corpus = make_corpus(train=["ein haus", "der see"])
    vocabulary = subword_vocabulary(corpus, 40)
    (path,) = (tmp_path / "vocabularies").iterdir()
    path.write_text("{", encoding="utf-8")
    with pytest.warns(UserWarning, match="corrupted and trained again"):
        assert subword_vocabulary(corpus, 40).fingerprint == vocabulary.fingerprint
    assert subword_vocabulary(corpus, 40).fingerprint == vocabulary.fingerprint
