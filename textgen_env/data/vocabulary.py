"""Subword vocabularies, trained on a corpus and shared by its sources and targets."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers import __version__ as tokenizers_version

from textgen_env.data.corpus import Corpus
from textgen_env.data.files import (
    cache_dir,
    digest,
    load_json,
    read_text,
    save_json,
    write_atomically,
)
from textgen_env.data.scope import current_scope
from textgen_env.data.text import text_problem
from textgen_env.errors import UserError
from textgen_env.terminal import safe_json
from textgen_env.types import BOS, EOS, PAD, UNK

SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
PROBE = "\U0010fffd"  # a text in no vocabulary: encoding it fails if UNK is missing
CHUNK = 10_000  # texts per tokenizer call; bounds its memory


class Vocabulary:
    """Maps text to ids and back; PAD, BOS, EOS and UNK are 0 to 3.

    ``decode(encode(text)) == text`` for text with single spaces whose characters all occurred in
    training.

    Args:
        tokenizer: A tokenizer whose first four tokens are ``SPECIALS``.

    Raises:
        UserError: The first four tokens are others, or ids are missing or repeated.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        if tuple(map(tokenizer.id_to_token, range(len(SPECIALS)))) != SPECIALS:
            raise UserError(
                f"a vocabulary must start with {' '.join(SPECIALS)}; this tokenizer does not"
            )
        if sorted(tokenizer.get_vocab().values()) != [*range(tokenizer.get_vocab_size())]:
            raise UserError("a vocabulary must number its tokens from 0 without gaps or repeats")
        tokenizer.encode_special_tokens = True  # "<s>" in a corpus is text, not a token
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> Vocabulary:
        """Train byte-pair encoding (Sennrich et al. 2016) with at most ``size`` tokens.

        Training is deterministic.

        Raises:
            UserError: The texts have more distinct characters than ``size`` allows.
        """
        tokenizer = Tokenizer(models.BPE(unk_token=SPECIALS[UNK]))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(
            vocab_size=size, min_frequency=2, special_tokens=list(SPECIALS), show_progress=False
        )
        tokenizer.train_from_iterator(map(_checked, texts), trainer)
        if tokenizer.get_vocab_size() > size:
            raise UserError(
                f"vocabulary={size} is too small: special tokens and characters alone need "
                f"{tokenizer.get_vocab_size()}"
            )
        return cls(tokenizer)

    @classmethod
    def from_words(cls, words: Sequence[str], letters: str = "") -> Vocabulary:
        """Create a vocabulary with one token per word; spaces separate words.

        Args:
            words: The tokens.
            letters: Those of ``words`` that need no spaces around them.
        """
        ids = {word: index for index, word in enumerate((*SPECIALS, *words))}
        tokenizer = Tokenizer(models.WordLevel(ids, unk_token=SPECIALS[UNK]))
        steps = [pre_tokenizers.WhitespaceSplit()]
        if letters:
            steps.append(pre_tokenizers.Split(Regex(f"[{re.escape(letters)}]"), "isolated"))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        return cls(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Encode ``text`` without BOS or EOS."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode each text, on all cores.

        Raises:
            UserError: A text is too long, or has an unpaired surrogate.
        """
        ids: list[list[int]] = []
        for start in range(0, len(texts), CHUNK):
            chunk = [_checked(text) for text in texts[start : start + CHUNK]]
            encoded = self._tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
            ids += [_without_specials(encoding.ids) for encoding in encoded]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Decode up to the first EOS, without special tokens; UNK becomes ``<unk>``."""
        until_eos = takewhile(lambda token: token != EOS, map(int, ids))
        kept = [token for token in until_eos if token not in self._hidden]
        return self._tokenizer.decode(kept, skip_special_tokens=False)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def tokens(self) -> list[str]:
        """All tokens, in the order of their ids."""
        by_id = {index: token for token, index in self._tokenizer.get_vocab().items()}
        return [by_id[index] for index in range(len(by_id))]

    @cached_property
    def _hidden(self) -> set[int]:
        """PAD, BOS, EOS and the special tokens of a pretrained tokenizer, as chats have them."""
        added = self._tokenizer.get_added_tokens_decoder().items()
        special = {index for index, token in added if token.special and index > UNK}
        return {PAD, BOS, EOS} | special

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the tokens in order, 16 hex digits; equal for vocabularies with the same ids.

        How text is split into tokens (merges, normalizer) does not count: a teacher that is queried
        at the student's prefixes gets ids, not text.
        """
        return digest(json.dumps(self.tokens, ensure_ascii=False))

    def to_json(self) -> str:
        """Serialize to the format of Hugging Face's ``tokenizer.json``."""
        return self._tokenizer.to_str()

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Deserialize what ``to_json`` returned.

        Raises:
            UserError: The text is not the JSON of a tokenizer.
        """
        try:
            vocabulary = cls(Tokenizer.from_str(text))
            vocabulary.encode(PROBE)
        except UserError:
            raise
        except Exception as error:  # the library raises bare Exception
            raise UserError(f"not a valid tokenizer.json ({error})") from None
        return vocabulary

    def save(self, path: Path) -> None:
        """Save as JSON, atomically; control characters in tokens are escaped."""
        write_atomically(path, safe_json(self.to_json()).encode())

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Load what ``save`` saved.

        Raises:
            UserError: The file cannot be read or is not a vocabulary. The message names the file.
        """
        try:
            return cls.from_json(read_text(path))
        except UserError as error:
            raise UserError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def _checked(text: str) -> str:
    """Return ``text`` unless the tokenizer would fail on it or need minutes for it."""
    if problem := text_problem(text):
        raise UserError(problem)
    return text


def _without_specials(ids: list[int]) -> list[int]:
    """Replace PAD, BOS and EOS by UNK: training can merge characters to the string ``</s>``."""
    return ids if min(ids, default=UNK) >= UNK else [max(token, UNK) for token in ids]


def subword_vocabulary(corpus: Corpus, size: int) -> Vocabulary:
    """Train the joint vocabulary of a corpus's training split, or load it from the cache.

    Within ``only_split``, returns the vocabulary given there.
    """
    given: Vocabulary | None = current_scope().vocabulary
    if given:
        return given
    name = f"bpe-{tokenizers_version}-{size}-{corpus.fingerprint}.json"
    path = cache_dir() / "vocabularies" / name
    if path.is_file():
        try:
            return Vocabulary.from_json(load_json(path))
        except (UserError, TypeError) as error:
            warnings.warn(f"vocabulary is corrupted and trained again: {error}", stacklevel=2)
    train = corpus.splits["train"]
    targets = (reference[0] for reference in train.references)
    vocabulary = Vocabulary.train([*train.sources, *targets], size)
    save_json(path, vocabulary.to_json())
    return vocabulary


def check_vocabulary(teacher: Vocabulary, student: Vocabulary, path: Path | str = "") -> None:
    """Raise UserError unless both map the same ids to the same tokens.

    Args:
        teacher: The teacher's vocabulary.
        student: The student's vocabulary.
        path: Where the teacher was loaded from, for the message.
    """
    if teacher.fingerprint != student.fingerprint:
        raise UserError(f"{difference(teacher, student, path)}; train the teacher on this corpus")


def difference(teacher: Vocabulary, student: Vocabulary, path: Path | str = "") -> str:
    """A clause that names both vocabularies, which differ; arguments as in ``check_vocabulary``."""
    where = f" ({path})" if path else ""
    return (
        f"the teacher's vocabulary{where} ({len(teacher):,} tokens, fingerprint "
        f"{teacher.fingerprint}) is not the student's ({len(student):,} tokens, fingerprint "
        f"{student.fingerprint})"
    )
