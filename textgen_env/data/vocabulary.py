"""Subword tokens and their ids: one joint vocabulary for both languages, trained on the corpus at hand."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers import __version__ as tokenizers_version

from textgen_env.data.corpus import Corpus
from textgen_env.data.files import (
    MAX_TEXT,
    cache_dir,
    load_json,
    read_text,
    save_json,
    write_atomically,
)
from textgen_env.errors import UserError
from textgen_env.terminal import safe_json
from textgen_env.types import BOS, EOS, PAD, UNK

SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
_SURROGATE = re.compile("[\ud800-\udfff]")
CHUNK = 10_000  # texts encoded at once; bounds what the tokenizer holds beside the ids


class Vocabulary:
    """Text ↔ ids over a ``tokenizers`` Tokenizer; PAD, BOS, EOS, UNK are 0 … 3.

    ``decode(encode(text)) == text`` for text with single blanks whose characters were seen in training.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """UserError when the tokenizer's first four tokens are not the specials."""
        if tuple(map(tokenizer.id_to_token, range(len(SPECIALS)))) != SPECIALS:
            raise UserError(
                f"a vocabulary starts with {' '.join(SPECIALS)}; this tokenizer does not"
            )
        tokenizer.encode_special_tokens = True  # "<s>" in a corpus is text, not a token
        self._tokenizer = tokenizer

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> Vocabulary:
        """Byte-pair encoding (Sennrich et al. 2016) of at most ``size`` tokens; the same texts give the same vocabulary."""
        tokenizer = Tokenizer(models.BPE(unk_token=SPECIALS[UNK]))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(
            vocab_size=size, min_frequency=2, special_tokens=list(SPECIALS), show_progress=False
        )
        tokenizer.train_from_iterator(map(_checked, texts), trainer)
        if tokenizer.get_vocab_size() > size:
            raise UserError(
                f"vocabulary={size} is too small: the {tokenizer.get_vocab_size()} characters of the text need one each"
            )
        return cls(tokenizer)

    @classmethod
    def from_words(cls, words: Sequence[str], letters: str = "") -> Vocabulary:
        """One token per word; a text is words with blanks between.

        Args:
            words: The tokens.
            letters: Those of ``words`` that need no blanks around them.
        """
        ids = {word: index for index, word in enumerate((*SPECIALS, *words))}
        tokenizer = Tokenizer(models.WordLevel(ids, unk_token=SPECIALS[UNK]))
        steps = [pre_tokenizers.WhitespaceSplit()]
        if letters:
            steps.append(pre_tokenizers.Split(Regex(f"[{re.escape(letters)}]"), "isolated"))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        return cls(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Ids without BOS or EOS."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """``encode`` of each text, on all cores.  UserError where a text is too long or holds half a character."""
        ids: list[list[int]] = []
        for start in range(0, len(texts), CHUNK):
            chunk = [_checked(text) for text in texts[start : start + CHUNK]]
            encoded = self._tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
            ids += [_ordinary(encoding.ids) for encoding in encoded]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text up to the first EOS, without PAD and BOS; UNK shows as ``<unk>``."""
        kept = []
        for token in map(int, ids):
            if token == EOS:
                break
            if token not in (PAD, BOS):
                kept.append(token)
        return self._tokenizer.decode(kept, skip_special_tokens=False)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def tokens(self) -> list[str]:
        """Every token, by id."""
        by_id = {index: token for token, index in self._tokenizer.get_vocab().items()}
        return [by_id[index] for index in range(len(by_id))]

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the tokens in order: two models with equal fingerprints mean the same by every id."""
        return blake2b(
            json.dumps(self.tokens, ensure_ascii=False).encode(), digest_size=8
        ).hexdigest()

    def to_json(self) -> str:
        """The tokenizer's own JSON (Hugging Face's ``tokenizer.json``)."""
        return self._tokenizer.to_str()

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Inverse of ``to_json``.  UserError when the text is not one."""
        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exception
            raise UserError(f"not a tokenizer's JSON ({error})") from None
        return cls(tokenizer)

    def save(self, path: Path) -> None:
        """Write ``to_json`` to ``path``, whole or not at all; control characters in tokens are escaped."""
        write_atomically(path, safe_json(self.to_json()).encode())

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read what ``save`` wrote.  UserError names the file."""
        try:
            return cls.from_json(read_text(path))
        except UserError as error:
            raise UserError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def _checked(text: str) -> str:
    """``text``, if the tokenizer can take it: a longer one would keep it for minutes, half a character stops it."""
    if len(text) > MAX_TEXT:
        raise UserError(
            f"a text of {len(text):,} characters; the tokenizer takes at most {MAX_TEXT:,}, split or cut it"
        )
    if not text.isascii() and _SURROGATE.search(text):
        raise UserError(
            "a text holds half a character (an unpaired surrogate); write the whole one"
        )
    return text


def _ordinary(ids: list[int]) -> list[int]:
    """No text becomes PAD, BOS or EOS, not even one whose training taught the model the string ``</s>``."""
    return ids if min(ids, default=UNK) >= UNK else [max(token, UNK) for token in ids]


def subword_vocabulary(corpus: Corpus, size: int) -> Vocabulary:
    """The joint vocabulary of a corpus's training split; kept in the cache by fingerprint, so trained once."""
    path = (
        cache_dir() / "vocabularies" / f"bpe-{tokenizers_version}-{size}-{corpus.fingerprint}.json"
    )
    if path.is_file():
        try:
            return Vocabulary.from_json(load_json(path))
        except (UserError, TypeError) as error:
            warnings.warn(f"damaged, and trained again: {error}", stacklevel=2)
    train = corpus.splits["train"]
    vocabulary = Vocabulary.train(
        [*train.sources, *(reference[0] for reference in train.references)], size
    )
    save_json(path, vocabulary.to_json())
    return vocabulary


def check_vocabulary(teacher: Vocabulary, student: Vocabulary, path: Path | str = "") -> None:
    """UserError unless both mean the same by every id; ``path`` says where the teacher came from."""
    if teacher.fingerprint != student.fingerprint:
        where = f" ({path})" if path else ""
        raise UserError(
            f"the teacher's vocabulary{where} ({len(teacher):,} tokens, fingerprint {teacher.fingerprint}) is not the "
            f"student's ({len(student):,} tokens, fingerprint {student.fingerprint}); train the teacher on this corpus"
        )
