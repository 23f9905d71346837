"""Token ids of a corpus, cached by the fingerprints of its text and its tokenizer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from textgen_env.data.corpus import Corpus
from textgen_env.data.files import cache_dir, checksum, digest, write_atomically
from textgen_env.data.split import Split
from textgen_env.data.vocabulary import CHUNK, Vocabulary
from textgen_env.terminal import escape_controls
from textgen_env.types import EOS

MIN_CACHED_PAIRS = 10_000  # a smaller corpus is encoded as fast as the cache is read

# Per split and side (0: sources, 1: training targets), "SPLIT.SIDE.tokens" has the ids of all
# texts, int32, with EOS after each, and "SPLIT.SIDE.length" their numbers, int64.
Arrays = dict[str, np.ndarray]


def encode_corpus(corpus: Corpus, vocabulary: Vocabulary, source_limit: int) -> dict[str, Split]:
    """Encode the sources and the training targets of every split.

    A source longer than ``source_limit`` tokens, including EOS, is cut to ``source_limit + 1``,
    which shows that it is too long.
    """
    if sum(corpus.sizes.values()) < MIN_CACHED_PAIRS:
        return _splits(_encode(corpus, vocabulary, source_limit), corpus)
    name = f"{corpus.fingerprint}-{digest(vocabulary.to_json())}-{source_limit}.safetensors"
    path = cache_dir() / "tokens" / name
    if path.is_file():
        try:
            return _splits(_load(path), corpus)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            message = f"{path} is corrupted; encoding again: {error}"
            warnings.warn(escape_controls(message), stacklevel=2)
    arrays = _encode(corpus, vocabulary, source_limit)
    write_atomically(path, save(arrays, {"checksum": _checksum(arrays)}))
    return _splits(arrays, corpus)


def _splits(arrays: Arrays, corpus: Corpus) -> dict[str, Split]:
    return {
        split: Split(_rows(arrays, f"{split}.0"), _rows(arrays, f"{split}.1"), pairs)
        for split, pairs in corpus.splits.items()
    }


def _rows(arrays: Arrays, name: str) -> list[np.ndarray]:
    """One int64 array per text. All are views of one array, which saves time and memory."""
    tokens, length = arrays[f"{name}.tokens"], arrays[f"{name}.length"]
    rows = np.split(tokens.astype(np.int64), np.cumsum(length))
    return rows[:-1]  # the last one has the tokens after the last text: none


def _load(path: Path) -> Arrays:
    """Load what ``encode_corpus`` saved; raises an error if the file is corrupted."""
    with safe_open(path, framework="numpy") as file:
        expected = (file.metadata() or {}).get("checksum")
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if expected != _checksum(arrays):
        raise ValueError("its content does not match its checksum")
    return arrays


def _checksum(arrays: Arrays) -> str:
    return checksum(
        (f"{name} {arrays[name].dtype} {arrays[name].shape}", arrays[name].tobytes())
        for name in sorted(arrays)
    )


def _encode(corpus: Corpus, vocabulary: Vocabulary, source_limit: int) -> Arrays:
    arrays: Arrays = {}
    for split, pairs in corpus.splits.items():
        targets = [references[0] for references in pairs.references]
        arrays |= _encode_texts(f"{split}.0", vocabulary, pairs.sources, source_limit)
        arrays |= _encode_texts(f"{split}.1", vocabulary, targets)
    return arrays


def _encode_texts(
    name: str, vocabulary: Vocabulary, texts: Sequence[str], max_ids: int | None = None
) -> Arrays:
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
    return {f"{name}.tokens": np.concatenate(tokens), f"{name}.length": np.concatenate(length)}
