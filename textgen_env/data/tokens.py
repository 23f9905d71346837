"""A corpus in tokens.  What took long to encode is kept in the cache, by the fingerprints of text and tokenizer."""

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
from textgen_env.terminal import visible
from textgen_env.types import EOS

KEPT_FROM = 10_000  # pairs; fewer are encoded as fast as they are read


class Rows(NamedTuple):
    """Texts in tokens, EOS after each, concatenated.  tokens int32 · length int64, a number a text."""

    tokens: np.ndarray
    length: np.ndarray

    def split(self) -> list[np.ndarray]:
        """One int64 array a text; they are views of one block, which is smaller and faster than each alone."""
        return (
            np.split(self.tokens.astype(np.int64), np.cumsum(self.length)[:-1])
            if len(self.length)
            else []
        )


Encoded = dict[str, tuple[Rows, Rows]]  # by split: sources and training targets


def encode_corpus(corpus: Corpus, vocabulary: Vocabulary, source_limit: int) -> Encoded:
    """Sources and training targets of every split.

    A source of more than ``source_limit`` tokens, EOS included, stops one beyond it: nobody needs more of it.
    """
    if sum(corpus.sizes.values()) < KEPT_FROM:
        return _encode(corpus, vocabulary, source_limit)
    model = blake2b(vocabulary.to_json().encode(), digest_size=8).hexdigest()
    path = cache_dir() / "tokens" / f"{corpus.fingerprint}-{model}-{source_limit}.safetensors"
    if path.is_file():
        try:
            return _read(path, corpus)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            warnings.warn(visible(f"{path} is damaged and is written again: {error}"), stacklevel=2)
    encoded = _encode(corpus, vocabulary, source_limit)
    arrays = {
        f"{split}.{side}.{name}": array
        for split, rows in encoded.items()
        for side in (0, 1)
        for name, array in rows[side]._asdict().items()
    }
    write_atomically(path, save(arrays, {"checksum": _checksum(arrays)}))
    return encoded


def _read(path: Path, corpus: Corpus) -> Encoded:
    """What ``encode_corpus`` saved; an error where the file is damaged."""
    with safe_open(path, framework="numpy") as file:
        known = (file.metadata() or {}).get("checksum")
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if known != _checksum(arrays):
        raise ValueError("its content does not match its checksum")

    def rows(split: str, side: int) -> Rows:
        return Rows(*(arrays[f"{split}.{side}.{name}"] for name in Rows._fields))

    return {split: (rows(split, 0), rows(split, 1)) for split in corpus.splits}


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    return checksum(
        (f"{name} {arrays[name].dtype} {arrays[name].shape}", arrays[name].tobytes())
        for name in sorted(arrays)
    )


def _encode(corpus: Corpus, vocabulary: Vocabulary, source_limit: int) -> Encoded:
    return {
        split: (
            _rows(vocabulary, pairs.sources, source_limit),
            _rows(vocabulary, [reference[0] for reference in pairs.references]),
        )
        for split, pairs in corpus.splits.items()
    }


def _rows(vocabulary: Vocabulary, texts: Sequence[str], most: int | None = None) -> Rows:
    """At most ``most`` ids a text, then EOS; arrays chunk by chunk, as Python's own integers take eight times the memory."""
    tokens, length = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for start in range(0, len(texts), CHUNK):
        ids = [[*row[:most], EOS] for row in vocabulary.encode_many(texts[start : start + CHUNK])]
        tokens.append(np.fromiter(chain.from_iterable(ids), np.int32))
        length.append(np.fromiter(map(len, ids), np.int64))
    return Rows(np.concatenate(tokens), np.concatenate(length))
