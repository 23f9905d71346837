"""The fixed material of one task: a corpus in tokens, its vocabulary, its limits.  Everything reads it, nothing changes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.files import stamp
from textgen_env.data.split import Split
from textgen_env.data.tokens import encode_corpus
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import Range, UserError, check_range
from textgen_env.types import EOS, Oracle

if TYPE_CHECKING:
    from torch import Tensor


Options = ParamSpec("Options")
Count = TypeVar("Count", int, np.ndarray, "Tensor")
KEPT = 4  # tasks held in memory by ``once``
KINDS: dict[type, tuple[Any, str]] = {  # of an option, by its default: what it may be, in types and in words
    bool: ((bool, np.bool_), "True or False"),
    int: ((int, np.integer), "a whole number"),
    float: ((int, float, np.integer, np.floating), "a number"),
    str: ((str,), "a text"),
}
RANGES = {  # of options that several tasks have
    "seed": Range(0, 2**32 - 1),
    "vocabulary": Range(1, 10**6),
    "bundled_pairs": Range(1, 10**7),
    "limit_ratio": Range(0, 1000),
    "limit_offset": Range(1, 65_536),
}
LONGEST = 65_536  # tokens of a source or an episode: every environment holds arrays of that width
DECIMALS = 10**6  # the largest denominator of a ratio: 1.2 is 6/5, and no limit depends on rounding


@dataclass(frozen=True)
class Task:
    """One task: what its episodes are made of.

    source_limit: S, the longest source, EOS included.  horizon: T, the most actions in any episode, EOS included.
    limit_ratio, limit_offset: a and b of ``limit``; both None where an output is not bounded by its source.
    metric: "bleu" (or "bleu:TOKENIZER"), "chrf", "rouge" or "accuracy".  reward: the default reward's name.
    oracle: builds the task's exact expert, where the task knows one; None where a teacher has to be trained.
    target_limit: what long training pairs are cut to; None where they are skipped.
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
    target_limit: int | None = None
    limit_ratio: float | None = None
    limit_offset: int | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Task:
        """Itself: it never changes, and gymnasium copies every keyword of an environment whenever its spec is read."""
        return self

    def with_vocabulary(self, vocabulary: Vocabulary) -> Task:
        """The same task in other tokens, by the same limits.  Its exact expert stays behind: that one speaks the old tokens."""
        return build(
            self.id,
            self.corpus,
            vocabulary,
            source_limit=self.source_limit,
            horizon=self.horizon,
            metric=self.metric,
            reward=self.reward,
            target_limit=self.target_limit,
            limit_ratio=self.limit_ratio,
            limit_offset=self.limit_offset,
        )

    def limit(self, source_length: Count) -> Count:
        """The most actions that may be generated for a source, EOS included: a·S + b rounded up, at most the horizon.

        The one rule for how long an output may be: environments, roll-outs, evaluation and demonstrations all use it.

        Args:
            source_length: S, tokens of the source, EOS included: a number, or int64 numbers ``[...]``

        Returns:
            The limit, at least 1; of the type and shape of ``source_length``.
        """
        numerator, denominator, offset = self._line()
        whole = -(-source_length * numerator // denominator) + offset
        return min(whole, self.horizon) if isinstance(whole, int) else whole.clip(max=self.horizon)

    def limit_code(self, length: str) -> str:
        """``limit`` as a Python expression, for a program without this package; ``length`` is what it calls S."""
        numerator, denominator, offset = self._line()
        return f"min({self.horizon}, -(-{length} * {numerator} // {denominator}) + {offset})"

    def _line(self) -> tuple[int, int, int]:
        """a as a fraction, and b; in whole numbers, so that arrays and tensors are rounded as numbers are."""
        ratio = Fraction(float(min(self.limit_ratio or 0, self.horizon))).limit_denominator(DECIMALS)
        offset = self.horizon if self.limit_offset is None else min(self.limit_offset, self.horizon)
        return ratio.numerator, ratio.denominator, offset

    @property
    def limits(self) -> tuple[float | None, ...]:
        """What decides how much of a source is encoded and how much is generated: a part of every cache's key."""
        return self.source_limit, self.horizon, self.limit_ratio, self.limit_offset

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
            source, target = (np.fromiter(map(len, rows), np.int64) for rows in (split.source, split.target))
            long = int((target > self.limit(source)).sum())
            if split.cut:
                scored = "" if name == "train" else "; they are scored all the same"
                lines.append(f"cut {split.cut:,} {name} sources to {self.source_limit} tokens{scored}")
            if split.cut_targets:
                lines.append(f"cut {split.cut_targets:,} {name} targets to {max(map(len, split.target))} tokens")
            if long:
                whole = "learned from" if name == "train" else "scored"
                lines.append(
                    f"{long:,} of {len(split):,} {name} references are longer than what may be generated "
                    f"({self._rule()}); {whole} whole"
                )
        return lines

    def _rule(self) -> str:
        if self.limit_ratio is None:
            return f"{self.horizon} tokens"
        return f"{self.limit_ratio:g} · source + {self.limit_offset} tokens, at most {self.horizon}"


def once(load: Callable[Options, Task]) -> Callable[Options, Task]:
    """Decorates a task's ``load``: equal options give the same Task again, as long as no file of its ``data_dir`` or ``hub``
    folder changes.  UserError where an option is of another kind than its default."""
    signature = inspect.signature(load)

    @lru_cache(maxsize=KEPT)
    def loaded(options: tuple[tuple[str, Any], ...], _kinds: tuple[type, ...], _stamp: object) -> Task:
        return load(**dict(options))  # type: ignore[call-arg]

    @wraps(load)
    def wrapper(*args: Options.args, **kwargs: Options.kwargs) -> Task:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            check_option(name, value, signature.parameters[name].default)
        check_limit(bound.arguments.get("limit_ratio"), bound.arguments.get("limit_offset"))
        folders = stamp(bound.arguments.get("data_dir")), stamp(bound.arguments.get("hub"), "**/*")
        kinds = tuple(map(type, bound.arguments.values()))  # True == 1.0
        return loaded(tuple(bound.arguments.items()), kinds, folders)

    return wrapper


def check_option(name: str, value: Any, default: Any) -> None:
    """UserError unless ``value`` is of the kind of ``default``, and in the option's range."""
    if type(default) not in KINDS:
        return
    types, words = KINDS[type(default)]
    if not isinstance(value, types) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise UserError(f"{name}={value!r}: {words} expected")
    if name in RANGES:
        check_range(name, value, RANGES[name])


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
    target_limit: int | None = None,
    limit_ratio: float | None = None,
    limit_offset: int | None = None,
) -> Task:
    """Put a corpus into tokens.

    target_limit: None, and training pairs beyond ``source_limit`` or ``horizon`` are skipped; a number, and training sources
    are cut to ``source_limit``, training targets to it (or to the horizon, if that is less).
    limit_ratio, limit_offset: of ``Task.limit``.
    UserError when a split has no pairs, or no training pair fits the limits.
    """
    for name, limit in (("source_limit", source_limit), ("horizon", horizon), ("target_limit", target_limit)):
        if limit is not None:
            check_range(name, limit, Range(2, LONGEST))  # one token and EOS
    check_limit(limit_ratio, limit_offset)
    for name, pairs in corpus.splits.items():
        if not len(pairs):
            raise UserError(f"{id}: split {name!r} of {corpus.name} ({corpus.origin}) has no pairs; it needs at least one")
    splits = {
        name: fit(corpus.splits[name], source.split(), target.split(), source_limit, horizon, name == "train", target_limit)
        for name, (source, target) in encode_corpus(corpus, vocabulary, source_limit).items()
    }
    if not len(splits["train"]):
        raise UserError(
            f"{id}: every training pair is longer than source_limit={source_limit} or horizon={horizon}; raise them"
        )
    return Task(
        *(id, corpus, vocabulary, splits, source_limit, horizon, metric, reward, oracle, target_limit),
        *(limit_ratio, limit_offset),
    )


def check_limit(ratio: float | None, offset: int | None) -> None:
    """UserError unless ``Task.limit`` is defined by them."""
    if ratio is None and offset is None:
        return
    if ratio is None or offset is None:
        given = f"limit_ratio={ratio} limit_offset={offset}"
        raise UserError(f"{given}: give both, or neither for a limit that is the horizon")
    check_option("limit_ratio", ratio, 1.0)
    check_option("limit_offset", offset, 1)


def fit(
    pairs: Pairs,
    source: list[np.ndarray],
    target: list[np.ndarray],
    source_limit: int,
    horizon: int,
    train: bool,
    target_limit: int | None = None,
) -> Split:
    """Training pairs beyond a limit are skipped, or cut if there is a ``target_limit``.

    Elsewhere every pair is kept, so that scores are of the whole split: the source is cut to ``source_limit``; the target
    stays whole, as what the text is, and may be longer than the horizon (batches of it end at the horizon, as an episode
    does).  A cut row ends in EOS like any other.
    """
    if not train:
        return Split(source, target, pairs, cut=_cut(source, source_limit))
    if target_limit is not None:
        cut_targets = _cut(target, min(target_limit, horizon))
        return Split(source, target, pairs, cut=_cut(source, source_limit), cut_targets=cut_targets)
    kept = [i for i in range(len(pairs)) if len(source[i]) <= source_limit and len(target[i]) <= horizon]
    if len(kept) == len(pairs):
        return Split(source, target, pairs)
    return Split([source[i] for i in kept], [target[i] for i in kept], pairs.rows(kept), skipped=len(pairs) - len(kept))


def _cut(rows: list[np.ndarray], limit: int) -> int:
    """Cut ``rows``, in place, to ``limit`` tokens, EOS kept; how many were longer."""
    long = [i for i, row in enumerate(rows) if len(row) > limit]
    for i in long:
        rows[i] = np.append(rows[i][: limit - 1], EOS)
    return len(long)
