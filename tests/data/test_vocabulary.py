"""The vocabulary: round trips, determinism, specials that no text can write, and the check between teacher and student."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
seen = st.text(st.sampled_from(sorted(set("".join(TEXTS)))), max_size=40)


@given(seen)
def test_decode_inverts_encode_on_seen_characters(text: str) -> None:
    text = " ".join(text.split())
    assert VOCABULARY.decode(VOCABULARY.encode(text)) == text


@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from(SPECIALS)).map(" ".join)
    | st.lists(st.sampled_from(SPECIALS)).map("".join)
)
def test_no_text_writes_a_special(text: str) -> None:
    assert all(UNK <= token < len(VOCABULARY) for token in VOCABULARY.encode(text))
    assert all(token >= UNK for token in Vocabulary.from_words(["a"]).encode(text))


def test_a_special_that_stands_in_a_text_is_its_characters() -> None:
    vocabulary = Vocabulary.train(["a < s > / b"] * 3, 80)
    assert vocabulary.decode(vocabulary.encode("a <s> </s> b")) == "a <s> </s> b"


def test_specials_stand_first() -> None:
    assert VOCABULARY.tokens[:4] == list(SPECIALS)
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)
    assert len(VOCABULARY) == len(VOCABULARY.tokens) == 80


def test_decode_stops_at_the_first_end_and_skips_padding() -> None:
    a, b = VOCABULARY.encode("see"), VOCABULARY.encode("lake")
    assert VOCABULARY.decode([BOS, *a, PAD, EOS, *b, EOS]) == "see"
    assert VOCABULARY.decode([]) == VOCABULARY.decode([EOS, *b]) == ""


def test_an_unseen_character_shows() -> None:
    assert UNK in VOCABULARY.encode("see 漢")
    assert VOCABULARY.decode(VOCABULARY.encode("see 漢")) == "see <unk>"


def test_many_is_each() -> None:
    assert VOCABULARY.encode_many(TEXTS) == [VOCABULARY.encode(text) for text in TEXTS]
    assert VOCABULARY.encode_many([]) == []
    assert VOCABULARY.encode("") == []


def test_training_is_deterministic_in_and_across_processes() -> None:
    script = f"from textgen_env.data.vocabulary import Vocabulary; print(Vocabulary.train({TEXTS!r}, 80).to_json(), end='')"
    other = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert other.stdout == VOCABULARY.to_json() == Vocabulary.train(TEXTS, 80).to_json()


def test_json_and_file_round_trip(tmp_path: Path) -> None:
    VOCABULARY.save(tmp_path / "v.json")
    for again in (Vocabulary.from_json(VOCABULARY.to_json()), Vocabulary.load(tmp_path / "v.json")):
        assert again.to_json() == VOCABULARY.to_json()
        assert again.fingerprint == VOCABULARY.fingerprint
        assert again.encode_many(TEXTS) == VOCABULARY.encode_many(TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == ["v.json"]


def test_foreign_and_truncated_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(VOCABULARY.to_json()[:200], encoding="utf-8")
    with pytest.raises(UserError, match=r"v\.json"):
        Vocabulary.load(path)
    path.write_text(VOCABULARY.to_json().replace('"<pad>"', '"[PAD]"'), encoding="utf-8")
    with pytest.raises(UserError, match=r"v\.json: .*<pad> <s> </s> <unk>"):
        Vocabulary.load(path)


def test_words_are_one_token_each() -> None:
    words = Vocabulary.from_words(["a", "b"])
    assert words.encode("b a b x") == [5, 4, 5, UNK]
    assert words.decode([5, 4, EOS]) == "b a"
    assert len(words) == 6


def test_a_size_below_the_alphabet_is_an_error() -> None:
    with pytest.raises(UserError, match="vocabulary=10 is too small"):
        Vocabulary.train(TEXTS, 10)


def test_the_check_lets_equals_pass_and_names_both_sides() -> None:
    other = Vocabulary.train(TEXTS, 70)
    check_vocabulary(VOCABULARY, Vocabulary.from_json(VOCABULARY.to_json()))
    with pytest.raises(
        UserError,
        match=rf"runs/t.*80 tokens.*{VOCABULARY.fingerprint}.*70 tokens.*{other.fingerprint}",
    ):
        check_vocabulary(VOCABULARY, other, "runs/t")


def test_subwords_are_trained_once_and_cached_as_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    pairs = Pairs(
        TEXTS, [(text.upper(), "a second reference is no training text: @") for text in TEXTS]
    )
    corpus = Corpus("c", "local", "here", {"train": pairs})
    first = subword_vocabulary(corpus, 100)
    monkeypatch.setattr(Vocabulary, "train", lambda *_: pytest.fail("trained again"))
    assert subword_vocabulary(corpus, 100).to_json() == first.to_json()
    assert UNK not in first.encode("HAUS haus")
    assert UNK in first.encode("@")
    assert [path.suffix for path in (tmp_path / "vocabularies").iterdir()] == [".json"]
