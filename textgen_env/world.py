"""The fixed material of one task: a corpus in tokens, its vocabulary, its limits.  Everything reads it, nothing changes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from itertools import chain
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from textgen_env.corpus import Corpus, Pairs
from textgen_env.errors import UserError
from textgen_env.files import stamp
from textgen_env.types import EOS
from textgen_env.vocabulary import Vocabulary

if TYPE_CHECKING:
    from textgen_env.oracle import Oracle

Options = ParamSpec("Options")
KEPT = 4  # worlds held in memory by ``once``


@dataclass(frozen=True)
class Split:
    """One split in tokens; row i is the i-th pair that was kept.

    source[i], target[i]: 1-D int64, EOS last, no PAD or BOS.  texts: the same rows as text, every reference.
    skipped: pairs left out because a side is longer than its limit (train only).
    cut: sources cut to the limit (never in train).
    """

    source: list[np.ndarray]
    target: list[np.ndarray]
    texts: Pairs
    skipped: int = 0
    cut: int = 0

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class World:
    """One task: what its episodes are made of.

    source_limit: S, the longest source, EOS included.  horizon: T, the most actions in an episode, EOS included.
    metric: "bleu", "rouge" or "accuracy".  reward: the default reward's name.
    oracle: builds the task's exact expert, where the task knows one; None where a teacher has to be trained.
    """

    id: str
    corpus: Corpus
    vocabulary: Vocabulary
    splits: dict[str, Split]
    source_limit: int
    horizon: int
    metric: str
    reward: str
    oracle: Callable[[], Oracle] | None = field(default=None, compare=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> World:
        """Itself: it never changes, and gymnasium copies every keyword of an environment whenever its spec is read."""
        return self

    def describe(self) -> list[str]:
        """What to print before a run: the corpus, the vocabulary and limits, and what did not fit them."""
        lines = [
            *self.corpus.describe().splitlines(),
            f"vocabulary {len(self.vocabulary):,} tokens, {self.vocabulary.fingerprint}",
        ]
        if skipped := self.splits["train"].skipped:
            lines.append(
                f"skipped {skipped:,} of {len(self.corpus.splits['train']):,} training pairs: "
                f"source over {self.source_limit} or target over {self.horizon} tokens"
            )
        for name, split in self.splits.items():
            long = sum(len(row) > self.horizon for row in split.target)
            if split.cut:
                lines.append(f"cut {split.cut:,} {name} sources to {self.source_limit} tokens; they are scored all the same")
            if long:
                lines.append(f"{long:,} {name} references are longer than the horizon of {self.horizon} tokens; scored whole")
        return lines


def once(load: Callable[Options, World]) -> Callable[Options, World]:
    """Decorates a task's ``load``: equal options give the same World again, as long as no file of its ``data_dir`` changes."""
    signature = inspect.signature(load)

    @lru_cache(maxsize=KEPT)
    def loaded(options: tuple[tuple[str, Any], ...], _stamp: object) -> World:
        return load(**dict(options))  # type: ignore[call-arg]

    @wraps(load)
    def wrapper(*args: Options.args, **kwargs: Options.kwargs) -> World:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return loaded(tuple(bound.arguments.items()), stamp(bound.arguments.get("data_dir")))

    return wrapper


def build(
    id: str,
    corpus: Corpus,
    vocabulary: Vocabulary,
    *,
    source_limit: int,
    horizon: int,
    metric: str,
    reward: str,
    oracle: Callable[[], Oracle] | None = None,
) -> World:
    """Put a corpus into tokens.  UserError when no training pair fits the limits."""
    for name, limit in (("source_limit", source_limit), ("horizon", horizon)):
        if limit < 2:
            raise UserError(f"{name}={limit}: at least 2, one token and EOS")
    splits = {
        name: tokenise(pairs, vocabulary, source_limit, horizon, train=name == "train") for name, pairs in corpus.splits.items()
    }
    if not len(splits["train"]):
        raise UserError(
            f"{id}: every training pair is longer than source_limit={source_limit} or horizon={horizon}; raise them"
        )
    return World(id, corpus, vocabulary, splits, source_limit, horizon, metric, reward, oracle)


def tokenise(pairs: Pairs, vocabulary: Vocabulary, source_limit: int, horizon: int, train: bool) -> Split:
    """Training pairs beyond a limit are skipped.  Elsewhere every pair is kept, so that scores are of the whole split:

    the source is cut to ``source_limit`` with EOS kept; the target stays whole, as what the text is, and may be longer
    than the horizon (batches of it end at the horizon, as an episode does).
    """
    source = _rows(vocabulary.encode_many(pairs.sources))
    target = _rows(vocabulary.encode_many([reference[0] for reference in pairs.references]))
    if train:
        kept = [i for i in range(len(pairs)) if len(source[i]) <= source_limit and len(target[i]) <= horizon]
        if len(kept) == len(pairs):
            return Split(source, target, pairs)
        return Split([source[i] for i in kept], [target[i] for i in kept], pairs.rows(kept), skipped=len(pairs) - len(kept))
    cut = [i for i, row in enumerate(source) if len(row) > source_limit]
    for i in cut:
        source[i] = np.append(source[i][: source_limit - 1], EOS)
    return Split(source, target, pairs, cut=len(cut))


def _rows(ids: list[list[int]]) -> list[np.ndarray]:
    """One int64 array a row, EOS appended; the rows are views of one block, which is smaller and faster than each alone."""
    if not ids:
        return []
    ends = np.cumsum([len(row) + 1 for row in ids])
    flat = np.full(ends[-1], EOS)
    text = np.ones(len(flat), dtype=bool)
    text[ends - 1] = False
    flat[text] = np.fromiter(chain.from_iterable(ids), np.int64)
    return np.split(flat, ends[:-1])
