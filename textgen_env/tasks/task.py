"""The fixed material of one task: a corpus in tokens, its vocabulary, its limits.  Everything uses it, nothing changes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, wraps
from typing import Any, ParamSpec

import numpy as np

from textgen_env.data.corpus import Corpus
from textgen_env.data.files import file_stamps
from textgen_env.data.limit import MAX_LENGTH, OFFSET, RATIO, Limit
from textgen_env.data.split import Split
from textgen_env.data.tokens import encode_corpus
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import Range, UserError, check_kind, check_range
from textgen_env.oracles.references import ReferenceOracle
from textgen_env.types import EOS, Oracle

Options = ParamSpec("Options")
KEPT = 4  # tasks held in memory by ``once``
RANGES = {  # of options that several tasks have
    "seed": Range(0, 2**32 - 1),
    "vocabulary": Range(1, 10**6),
    "bundled_pairs": Range(1, 10**7),
    "limit_ratio": RATIO,
    "limit_offset": OFFSET,
}


@dataclass(frozen=True)
class Task:
    """What the episodes of one task are made of.

    Args:
        id: its name, such as ``IWSLT-v0``
        corpus: text in three splits
        vocabulary: the tokens of both sides
        source_limit: S, the longest source, EOS included; longer ones are cut
        limit: the most actions for a source; its horizon is T, the most of any episode
        metric: ``bleu`` (or ``bleu:TOKENIZER``), ``chrf``, ``rouge`` or ``accuracy``
        reward: the name of the default reward
        oracle: builds the exact expert, where the task has one
        target_limit: what training targets are cut to; None: training pairs beyond
            ``source_limit`` or the horizon are skipped
        splits: the corpus in tokens; by default made here

    Raises:
        UserError: a limit is out of range, a split is empty, or no training pair fits the limits.
    """

    id: str
    corpus: Corpus
    vocabulary: Vocabulary
    source_limit: int
    limit: Limit
    metric: str
    reward: str
    oracle: Callable[[], Oracle] | None = field(default=None, compare=False)
    target_limit: int | None = None
    splits: dict[str, Split] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.splits:
            object.__setattr__(self, "splits", self._encoded())

    def __deepcopy__(self, memo: dict[int, Any]) -> Task:
        """Itself: it never changes, and gymnasium copies every keyword of an environment whenever its spec is read."""
        return self

    @property
    def horizon(self) -> int:
        """T, the most actions of any episode, EOS included."""
        return self.limit.horizon

    @property
    def limits(self) -> tuple[float | None, ...]:
        """What decides how much of a source is encoded and how much is generated: a part of every cache's key."""
        return self.source_limit, self.horizon, self.limit.ratio, self.limit.offset

    def with_vocabulary(self, vocabulary: Vocabulary) -> Task:
        """The same task in other tokens, without its exact expert, whose tokens are the old ones."""
        return replace(self, vocabulary=vocabulary, splits={}, oracle=None)

    def describe(self) -> list[str]:
        """What to print before a run: the corpus, the vocabulary, and what did not fit the limits."""
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
            source, target = (
                np.fromiter(map(len, rows), np.int64) for rows in (split.source, split.target)
            )
            if split.truncated:
                scored = "" if name == "train" else "; they are scored all the same"
                lines.append(
                    f"cut {split.truncated:,} {name} sources to {self.source_limit} tokens{scored}"
                )
            if split.truncated_targets:
                lines.append(
                    f"cut {split.truncated_targets:,} {name} targets to {target.max()} tokens"
                )
            if long := int((target > self.limit(source)).sum()):
                whole = "learned from" if name == "train" else "scored"
                lines.append(
                    f"{long:,} of {len(split):,} {name} references are longer than what may be generated "
                    f"({self.limit}); {whole} whole"
                )
        return lines

    def _encoded(self) -> dict[str, Split]:
        limits = {
            "source_limit": self.source_limit,
            "horizon": self.horizon,
            "target_limit": self.target_limit,
        }
        for name, value in limits.items():
            if value is not None:
                check_range(name, value, Range(2, MAX_LENGTH))  # one token and EOS
        for name, pairs in self.corpus.splits.items():
            if not len(pairs):
                where = f"split {name!r} of {self.corpus.name} ({self.corpus.origin})"
                raise UserError(f"{self.id}: {where} has no pairs; it needs at least one")
        encoded = encode_corpus(self.corpus, self.vocabulary, self.source_limit).items()
        splits = {
            name: self._fit(name, source.split(), target.split())
            for name, (source, target) in encoded
        }
        if not len(splits["train"]):
            where = f"source_limit={self.source_limit} or horizon={self.horizon}"
            raise UserError(f"{self.id}: every training pair is longer than {where}; raise them")
        return splits

    def _fit(self, name: str, source: list[np.ndarray], target: list[np.ndarray]) -> Split:
        """Skip training pairs beyond a limit, or cut them where there is a ``target_limit``.

        Of other splits every pair is kept, so that scores are of the whole split, and its target
        stays whole: batches of it end at the horizon, as an episode does.
        """
        pairs = self.corpus.splits[name]
        if name == "train" and self.target_limit is None:
            fits = [
                len(a) <= self.source_limit and len(b) <= self.horizon
                for a, b in zip(source, target, strict=True)
            ]
            kept = np.flatnonzero(fits).tolist()
            if len(kept) < len(pairs):
                skipped = len(pairs) - len(kept)
                return Split(
                    [source[i] for i in kept], [target[i] for i in kept], pairs.rows(kept), skipped
                )
        truncated_targets = (
            _cut(target, min(self.target_limit, self.horizon))
            if name == "train" and self.target_limit
            else 0
        )
        return Split(
            source,
            target,
            pairs,
            truncated=_cut(source, self.source_limit),
            truncated_targets=truncated_targets,
        )


def expert(task: Task) -> Oracle:
    """The expert of a task that nobody trained one for: the task's exact one, else its references."""
    return (
        task.oracle()
        if task.oracle
        else ReferenceOracle(task.splits.values(), len(task.vocabulary))
    )


def once(load: Callable[Options, Task]) -> Callable[Options, Task]:
    """Decorates a task's ``load``: equal options give the same Task again, as long as no file of its
    ``data_dir`` or ``hub`` folder changes.  UserError where an option is of another kind than its default.
    """
    signature = inspect.signature(load)

    @lru_cache(maxsize=KEPT)
    def loaded(
        options: tuple[tuple[str, Any], ...], _kinds: tuple[type, ...], _stamp: object
    ) -> Task:
        return load(**dict(options))  # type: ignore[call-arg]

    @wraps(load)
    def wrapper(*args: Options.args, **kwargs: Options.kwargs) -> Task:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        options = bound.arguments
        for name, value in options.items():
            default = signature.parameters[name].default
            check_kind(name, value, default)
            if name in RANGES and default is not None:
                check_range(name, value, RANGES[name])
        Limit(
            1, options.get("limit_ratio"), options.get("limit_offset")
        )  # whose defaults, None, have no kind
        folders = file_stamps(options.get("data_dir")), file_stamps(options.get("hub"), "**/*")
        return loaded(
            tuple(options.items()), tuple(map(type, options.values())), folders
        )  # kinds: True == 1.0

    return wrapper


def _cut(rows: list[np.ndarray], limit: int) -> int:
    """Cut ``rows``, in place, to ``limit`` tokens, EOS kept; how many were longer."""
    long = [i for i, row in enumerate(rows) if len(row) > limit]
    for i in long:
        rows[i] = np.append(rows[i][: limit - 1], EOS)
    return len(long)
