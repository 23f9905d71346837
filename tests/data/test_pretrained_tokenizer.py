"""Somebody else's tokenizer under our ids: the same tokens for the same text, and nothing that no text contains."""

from __future__ import annotations

from collections.abc import Callable

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

from support.tiny import small_task
from textgen_env.data.pretrained_tokenizer import convert_tokenizer
from textgen_env.data.vocabulary import SPECIALS, Vocabulary
from textgen_env.errors import UserError
from textgen_env.tasks import tasks
from textgen_env.types import EOS, UNK

LINES = ["the cat sees the dog", "a man hears a cat", "das Haus ist groß", "hello task, hello cat"]
UNSEEN = ["the dogs hear 的 task", "Grüße und Küsse"]


def bpe() -> tuple[Tokenizer, str]:
    """Like Llama's: EOS is the third token, unseen characters are unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=70, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer, "</s>"


def byte_level() -> tuple[Tokenizer, str]:
    """Like GPT-2's: one special token, behind all others; nothing is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer, "<|endoftext|>"


def unigram() -> tuple[Tokenizer, str]:
    """Like T5's: sentinels among the pieces, a word added by hand, a template, and a length at which it cuts."""
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
    """Like BERT's, with its own names for everything."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = (
        normalizers.BertNormalizer(lowercase=False),
        pre_tokenizers.BertPreTokenizer(),
    )
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=90, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer, "[SEP]"


KINDS: dict[str, Callable[[], tuple[Tokenizer, str]]] = {
    each.__name__: each for each in (bpe, byte_level, unigram, word_piece)
}


@pytest.fixture(params=sorted(KINDS))
def adopted(request: pytest.FixtureRequest) -> tuple[Tokenizer, str, Vocabulary, list[int | None]]:
    tokenizer, eos = KINDS[request.param]()
    vocabulary, ids = convert_tokenizer(tokenizer.to_str(), eos)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, eos, vocabulary, ids


def test_every_text_has_the_tokens_it_had(adopted):
    tokenizer, _, vocabulary, ids = adopted
    for text in LINES + UNSEEN:
        theirs = tokenizer.encode(text, add_special_tokens=False).ids
        assert [ids[token] for token in vocabulary.encode(text)] == theirs
        assert vocabulary.decode(vocabulary.encode(text)).replace(
            "<unk>", "[UNK]"
        ) == tokenizer.decode(theirs, skip_special_tokens=False).replace("<unk>", "[UNK]")


def test_the_vocabulary_is_the_four_specials_and_what_a_text_can_contain(adopted):
    tokenizer, eos, vocabulary, ids = adopted
    assert tuple(vocabulary.tokens[:4]) == SPECIALS
    assert ids[EOS] == tokenizer.token_to_id(eos)
    special = {
        token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special
    }
    words = [
        token
        for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        if token not in special
    ]
    assert vocabulary.tokens[4:] == words
    assert ids[4:] == [tokenizer.token_to_id(word) for word in words]


def test_unknown_is_the_models_own_or_nobodys():
    unknown = {
        kind: convert_tokenizer(tokenizer.to_str(), eos)[1][UNK]
        for kind, (tokenizer, eos) in ((k, f()) for k, f in KINDS.items())
    }
    assert unknown == {"bpe": 0, "byte_level": None, "unigram": 2, "word_piece": 1}


def test_a_special_token_in_a_text_is_text(adopted):
    _, eos, vocabulary, _ = adopted
    assert min(vocabulary.encode(f"the cat {eos} <pad> <s> </s> a cat")) >= UNK


def test_it_survives_a_run_folder(adopted, tmp_path):
    _, _, vocabulary, _ = adopted
    vocabulary.save(tmp_path / "vocabulary.json")
    again = Vocabulary.load(tmp_path / "vocabulary.json")
    assert again.fingerprint == vocabulary.fingerprint
    assert again.encode_many(LINES) == vocabulary.encode_many(LINES)


@pytest.mark.parametrize(
    "id", sorted(tasks().keys() - {"Tightrope-v0"})
)  # whose episodes are not what its texts are
def test_a_task_in_its_own_tokens_again_is_the_same_task(id):
    task = small_task(id)
    again = task.with_vocabulary(Vocabulary.from_json(task.vocabulary.to_json()))
    assert again.describe() == task.describe()
    for name, split in task.splits.items():
        for before, after in (
            (split.source, again.splits[name].source),
            (split.target, again.splits[name].target),
        ):
            assert [row.tolist() for row in after] == [row.tolist() for row in before]
    same = ("id", "source_limit", "target_limit", "horizon", "metric", "reward")
    assert all(getattr(again, name) == getattr(task, name) for name in same)


def test_a_tokenizer_without_the_end_it_names_is_refused():
    with pytest.raises(UserError, match="no token '<end>'"):
        convert_tokenizer(bpe()[0].to_str(), "<end>")
