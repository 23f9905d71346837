"""Token ids of a corpus, cached by the fingerprints of its text and its tokenizer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from textgen_env.data.corpus import Corpus
from textgen_env.data.files import cache_dir, checksum, write_atomically
from textgen_env.data.vocabulary import CHUNK, Vocabulary
from textgen_env.terminal import escape_controls
from textgen_env.types import EOS

MIN_CACHED_PAIRS = 10_000  # a smaller corpus is encoded as fast as the cache is read


class EncodedTexts(NamedTuple):
    """Token ids of several texts, concatenated, with EOS after each.

    Args:
        tokens: int32 ``[sum(length)]``.
        length: int64, number of tokens per text.
    """

    tokens: np.ndarray
    length: np.ndarray

    def split(self) -> list[np.ndarray]:
        """One int64 array per text; all are views of one array, which saves time and memory."""
        if not len(self.length):
            return []
        return np.split(self.tokens.astype(np.int64), np.cumsum(self.length)[:-1])


Encoded = dict[str, tuple[EncodedTexts, EncodedTexts]]  # per split: sources, training targets


def encode_corpus(corpus: Corpus, vocabulary: Vocabulary, source_limit: int) -> Encoded:
    """Encode the sources and the training targets of every split.

    A source longer than ``source_limit`` tokens, including EOS, is cut to ``source_limit + 1``,
    which shows that it is too long.
    """
    if sum(corpus.sizes.values()) < MIN_CACHED_PAIRS:
        return _encode(corpus, vocabulary, source_limit)
    tokenizer_hash = blake2b(vocabulary.to_json().encode(), digest_size=8).hexdigest()
    name = f"{corpus.fingerprint}-{tokenizer_hash}-{source_limit}.safetensors"
    path = cache_dir() / "tokens" / name
    if path.is_file():
        try:
            return _load(path, corpus)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            message = f"{path} is corrupted; encoding again: {error}"
            warnings.warn(escape_controls(message), stacklevel=2)
    encoded = _encode(corpus, vocabulary, source_limit)
    arrays = {
        f"{split}.{side}.{field}": array
        for split, sides in encoded.items()
        for side in (0, 1)
        for field, array in sides[side]._asdict().items()
    }
    write_atomically(path, save(arrays, {"checksum": _checksum(arrays)}))
    return encoded


def _load(path: Path, corpus: Corpus) -> Encoded:
    """Load what ``encode_corpus`` saved; raises an error if the file is corrupted."""
    with safe_open(path, framework="numpy") as file:
        expected = (file.metadata() or {}).get("checksum")
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if expected != _checksum(arrays):
        raise ValueError("its content does not match its checksum")

    def side(split: str, number: int) -> EncodedTexts:
        return EncodedTexts(
            *(arrays[f"{split}.{number}.{field}"] for field in EncodedTexts._fields)
        )

    return {split: (side(split, 0), side(split, 1)) for split in corpus.splits}


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    return checksum(
        (f"{name} {arrays[name].dtype} {arrays[name].shape}", arrays[name].tobytes())
        for name in sorted(arrays)
    )


def _encode(corpus: Corpus, vocabulary: Vocabulary, source_limit: int) -> Encoded:
    return {
        split: (
            _encode_texts(vocabulary, pairs.sources, source_limit),
            _encode_texts(vocabulary, [reference[0] for reference in pairs.references]),
        )
        for split, pairs in corpus.splits.items()
    }


def _encode_texts(
    vocabulary: Vocabulary, texts: Sequence[str], max_ids: int | None = None
) -> EncodedTexts:
    """Encode each text to at most ``max_ids`` ids and EOS.

    Works in chunks of texts, because Python's integers need eight times the memory of int32.
    """
    tokens, length = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for start in range(0, len(texts), CHUNK):
        ids = [
            [*row[:max_ids], EOS] for row in vocabulary.encode_many(texts[start : start + CHUNK])
        ]
        tokens.append(np.fromiter(chain.from_iterable(ids), np.int32))
        length.append(np.fromiter(map(len, ids), np.int64))
    return EncodedTexts(np.concatenate(tokens), np.concatenate(length))
