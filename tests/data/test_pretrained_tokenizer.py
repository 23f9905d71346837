"""Converted tokenizers: the same tokens for the same text, and no other special tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from support.tiny import load_small
from textgen_env.data.pretrained_tokenizer import convert_tokenizer
from textgen_env.data.vocabulary import SPECIALS, Vocabulary
from textgen_env.errors import UserError
from textgen_env.tasks import tasks
from textgen_env.types import EOS, UNK

LINES = ["the cat sees the dog", "a man hears a cat", "das Haus ist groß", "hello task, hello cat"]
UNSEEN = ["the dogs hear 的 task", "Grüße und Küsse"]


def bpe() -> tuple[Tokenizer, str]:
    """Like Llama's: EOS is the third token; unseen characters are unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    specials = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=70, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer, "</s>"


def byte_level() -> tuple[Tokenizer, str]:
    """Like GPT-2's: one special token, the last one; nothing is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer, "<|endoftext|>"


def unigram() -> tuple[Tokenizer, str]:
    """Like T5's: sentinel tokens, an added word, a template, truncation and padding."""
    specials = ["<pad>", "</s>", "<unk>", "<extra_id_1>", "<extra_id_0>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.add_tokens([AddedToken("Haus", normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=30)
    return tokenizer, "</s>"


def word_piece() -> tuple[Tokenizer, str]:
    """Like BERT's: special tokens in brackets."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=90, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer, "[SEP]"


KINDS: dict[str, Callable[[], tuple[Tokenizer, str]]] = {
    "bpe": bpe,
    "byte_level": byte_level,
    "unigram": unigram,
    "word_piece": word_piece,
}


class Converted(NamedTuple):
    """A tokenizer, its EOS token, and what it was converted to."""

    tokenizer: Tokenizer
    eos: str
    vocabulary: Vocabulary
    ids: list[int | None]


@pytest.fixture(params=KINDS)
def converted(request: pytest.FixtureRequest) -> Converted:
    tokenizer, eos = KINDS[request.param]()
    vocabulary, ids = convert_tokenizer(tokenizer.to_str(), eos)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Converted(tokenizer, eos, vocabulary, ids)


@pytest.mark.parametrize("text", [*LINES, *UNSEEN])
def test_text_has_the_same_tokens(converted: Converted, text: str) -> None:
    tokenizer, _, vocabulary, ids = converted
    expected = tokenizer.encode(text, add_special_tokens=False).ids
    encoded = vocabulary.encode(text)
    assert [ids[token] for token in encoded] == expected
    decoded = tokenizer.decode(expected, skip_special_tokens=False).replace("[UNK]", "<unk>")
    assert vocabulary.decode(encoded) == decoded


def test_tokens_are_the_four_specials_and_all_others_of_the_tokenizer(converted: Converted) -> None:
    tokenizer, eos, vocabulary, ids = converted
    assert tuple(vocabulary.tokens[:4]) == SPECIALS
    assert ids[EOS] == tokenizer.token_to_id(eos)
    renamed = {eos, "[UNK]", *SPECIALS}
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    assert vocabulary.tokens[4:] == [token for token, _ in by_id if token not in renamed]
    assert ids[4:] == [tokenizer.token_to_id(token) for token in vocabulary.tokens[4:]]


def test_special_tokens_are_left_out_of_decoded_text() -> None:
    vocabulary, _ = convert_tokenizer(*(unigram()[0].to_str(), "</s>"))
    special = vocabulary.tokens.index("<extra_id_0>")
    cat = vocabulary.encode("the cat")
    assert vocabulary.decode([special, *cat, special]) == "the cat"


@pytest.mark.parametrize(
    ("kind", "unknown"), [("bpe", 0), ("byte_level", None), ("unigram", 2), ("word_piece", 1)]
)
def test_unk_has_the_id_of_the_unknown_token(kind: str, unknown: int | None) -> None:
    tokenizer, eos = KINDS[kind]()
    assert convert_tokenizer(tokenizer.to_str(), eos)[1][UNK] == unknown


def test_special_tokens_in_a_text_are_text(converted: Converted) -> None:
    text = f"the cat {converted.eos} <pad> <s> </s> a cat"
    assert min(converted.vocabulary.encode(text)) >= UNK


def test_saved_vocabulary_encodes_the_same(converted: Converted, tmp_path: Path) -> None:
    converted.vocabulary.save(tmp_path / "vocabulary.json")
    loaded = Vocabulary.load(tmp_path / "vocabulary.json")
    assert loaded.fingerprint == converted.vocabulary.fingerprint
    assert loaded.encode_many(LINES) == converted.vocabulary.encode_many(LINES)


# the texts of Tightrope-v0 are not its episodes
@pytest.mark.parametrize("id", sorted(tasks().keys() - {"Tightrope-v0"}))
def test_task_encoded_with_its_own_vocabulary_is_unchanged(id: str) -> None:
    task = load_small(id)
    encoded = task.with_vocabulary(Vocabulary.from_json(task.vocabulary.to_json()))
    assert encoded.describe() == task.describe()
    for name, split in task.splits.items():
        for side in ("source", "target"):
            before, after = getattr(split, side), getattr(encoded.splits[name], side)
            assert [row.tolist() for row in after] == [row.tolist() for row in before]
    for name in ("id", "source_limit", "target_limit", "horizon", "metric", "reward"):
        assert getattr(encoded, name) == getattr(task, name)


def test_missing_eos_token_is_an_error() -> None:
    with pytest.raises(UserError, match="no token '<end>'"):
        convert_tokenizer(bpe()[0].to_str(), "<end>")
