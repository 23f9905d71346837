"""``Task``: a tokenized corpus, its vocabulary and limits, its metric and reward."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, wraps
from typing import Any, ParamSpec

import numpy as np

from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.chat_tokens import ChatEncoder
from textgen_env.data.corpus import Corpus
from textgen_env.data.files import file_stamps
from textgen_env.data.limit import MAX_LENGTH, OFFSET, RATIO, Limit
from textgen_env.data.scope import Scope, current_scope
from textgen_env.data.split import Split
from textgen_env.data.tokens import encode_corpus
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import Range, UserError, check_kind, check_range
from textgen_env.metrics.scores import check_metric
from textgen_env.oracles.references import ReferenceOracle
from textgen_env.types import EOS, Oracle

Options = ParamSpec("Options")
NO_REFERENCES = {  # what that means for each split
    "train": "only algorithms that learn from the teacher or a reward can use it",
    **dict.fromkeys(("valid", "test"), "its references are the teacher's outputs"),
}
MAX_CACHED = 4  # tasks that ``cached_load`` keeps
RANGES = {  # of options that several tasks have
    "seed": Range(0, 2**32 - 1),
    "vocabulary": Range(1, 10**6),
    "bundled_pairs": Range(1, 10**7),
    "limit_ratio": RATIO,
    "limit_offset": OFFSET,
}


@dataclass(frozen=True)
class Task:
    """One task. It is immutable.

    Args:
        id: its name, such as ``IWSLT-v0``
        corpus: text in three splits
        vocabulary: the tokens of sources and targets
        source_limit: S, the maximum source length, EOS included; longer sources are truncated
        limit: the maximum output length as a function of the source length; its horizon is T
        metric: ``bleu`` (or ``bleu:TOKENIZER``), ``chrf``, ``rouge``, ``accuracy``, …, or the
            dotted path of a function
        reward: the name of the default reward
        oracle: builds the exact expert, if there is one
        target_limit: training targets are truncated to this length; None: training pairs longer
            than ``source_limit`` or the horizon are skipped
        template: how a conversation becomes tokens; None: sources are no conversations
        splits: the tokenized corpus; by default the constructor tokenizes ``corpus``, or the split
            that ``only_split`` selects

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
    template: ChatTemplate | None = None
    splits: dict[str, Split] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.splits:
            object.__setattr__(self, "splits", self._tokenize())

    def __deepcopy__(self, memo: dict[int, Any]) -> Task:
        """Return itself; gymnasium deep-copies an env's keyword arguments with its spec."""
        return self

    @property
    def horizon(self) -> int:
        """T, the maximum number of actions in an episode, EOS included."""
        return self.limit.horizon

    @property
    def limits(self) -> tuple[float | str | None, ...]:
        """Source limit, horizon, ratio and offset, and the template, for the keys of caches."""
        template = (self.template.fingerprint,) if self.template else ()
        return self.source_limit, self.horizon, self.limit.ratio, self.limit.offset, *template

    def with_vocabulary(self, vocabulary: Vocabulary, template: ChatTemplate | None = None) -> Task:
        """Tokenize the corpus with another vocabulary; the exact expert, if any, is dropped.

        Args:
            vocabulary: the vocabulary.
            template: of a task of conversations, the template of that vocabulary; None: the same.
        """
        template = template or self.template
        return replace(self, vocabulary=vocabulary, template=template, splits={}, oracle=None)

    def with_metric(self, metric: str | None) -> Task:
        """Evaluate by another metric, a name or the dotted path of a function; None: the same."""
        if metric is None:
            return self
        check_metric(metric)
        return replace(self, metric=metric)

    def with_teacher_sources(self) -> Task:
        """The task with the sources that the teacher sees, if they are others."""
        splits = {
            name: replace(split, source=split.teacher_source or split.source, teacher_source=[])
            for name, split in self.splits.items()
        }
        return replace(self, splits=splits)

    def describe(self) -> list[str]:
        """Describe the corpus, the vocabulary and what exceeds the limits, one line each."""
        lines = [
            *self.corpus.describe().splitlines(),
            f"vocabulary {len(self.vocabulary):,} tokens, {self.vocabulary.fingerprint}",
            *([self.template.describe()] if self.template else ()),
        ]
        if "train" in self.splits and (skipped := self.splits["train"].skipped):
            lines.append(
                f"skipped {skipped:,} of {len(self.corpus.splits['train']):,} training pairs: "
                f"source over {self.source_limit} or target over {self.horizon} tokens"
            )
        for name, split in self.splits.items():
            source, target = (
                np.fromiter(map(len, rows), np.int64) for rows in (split.source, split.target)
            )
            if split.shortened:
                lines.append(
                    f"left the oldest turns out of {split.shortened:,} {name} conversations, which "
                    f"exceed {self.source_limit} tokens"
                )
            if not split.has_references:
                lines.append(f"the {name} split has prompts alone: {NO_REFERENCES[name]}")
            if split.truncated:
                scored = "" if name == "train" else ", but scored them"
                lines.append(
                    f"truncated {split.truncated:,} {name} sources to {self.source_limit} tokens"
                    + scored
                )
            if split.truncated_targets:
                lines.append(
                    f"truncated {split.truncated_targets:,} {name} targets to {target.max()} tokens"
                )
            if long := int((target > self.limit(source)).sum()):
                use = "training" if name == "train" else "scoring"
                lines.append(
                    f"{long:,} of {len(split):,} {name} references exceed the output limit "
                    f"({self.limit}); {use} uses them whole"
                )
        return lines

    def _tokenize(self) -> dict[str, Split]:
        for name in ("source_limit", "horizon", "target_limit"):
            if (value := getattr(self, name)) is not None:
                check_range(name, value, Range(2, MAX_LENGTH))  # one token and EOS
        corpus, wanted = self.corpus, current_scope().splits
        if not set(corpus.splits) <= set(wanted):
            kept = {name: pairs for name, pairs in corpus.splits.items() if name in wanted}
            corpus = replace(corpus, splits=kept)
        for name, pairs in corpus.splits.items():
            if not len(pairs):
                raise UserError(
                    f"{self.id}: split {name!r} of {corpus.name} ({corpus.origin}) has no pairs; "
                    "add at least one"
                )
        splits = {name: self._fit(name, split) for name, split in self._encode(corpus).items()}
        if "train" in splits and not len(splits["train"]):
            raise UserError(
                f"{self.id}: every training pair is longer than source_limit={self.source_limit} "
                f"or horizon={self.horizon}; increase them"
            )
        return splits

    def _encode(self, corpus: Corpus) -> dict[str, Split]:
        """Every pair of every split; longer sources have one token more than the limit."""
        if self.template:
            encoder = ChatEncoder(self.template, self.vocabulary, self.source_limit)
            return {name: encoder.split(corpus, name) for name in corpus.splits}
        return encode_corpus(corpus, self.vocabulary, self.source_limit)

    def _fit(self, name: str, split: Split) -> Split:
        """Skip training pairs beyond a limit, or truncate them if there is a ``target_limit``.

        Other splits keep every pair and whole targets, so that scores are comparable.
        """
        if name == "train" and self.target_limit is None:
            rows = zip(split.source, split.target, strict=True)
            fits = [len(s) <= self.source_limit and len(t) <= self.horizon for s, t in rows]
            kept = [i for i, row_fits in enumerate(fits) if row_fits]
            return replace(split.rows(kept), skipped=len(split) - len(kept))
        keep = "end" if self.template else "start"
        truncated, truncated_targets = _truncate(split.source, self.source_limit, keep), 0
        if name == "train" and self.target_limit:
            truncated_targets = _truncate(split.target, min(self.target_limit, self.horizon))
        return replace(split, truncated=truncated, truncated_targets=truncated_targets)


def expert(task: Task) -> Oracle:
    """The default expert, without a teacher: the exact one if there is one, else the references."""
    if task.oracle:
        return task.oracle()
    return ReferenceOracle(task.splits.values(), len(task.vocabulary))


def cached_load(load: Callable[Options, Task]) -> Callable[Options, Task]:
    """Decorate a task's ``load`` with type checks and a cache.

    The decorated function returns the same Task for equal options until a file of ``data`` or of a
    local ``hub`` folder changes. It raises UserError for a value whose type is not that of the
    option's default.
    """
    signature = inspect.signature(load)

    @lru_cache(maxsize=MAX_CACHED, typed=True)  # as True == 1.0
    def loaded(_stamps: object, _scope: Scope, **options: Any) -> Task:
        return load(**options)  # type: ignore[call-arg]

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
        # the limits may default to None, which has no type to check
        Limit(1, options.get("limit_ratio"), options.get("limit_offset"))
        data = str(options.get("data") or options.get("data_dir") or "").removeprefix("hub:")
        places = (data, options.get("hub"), options.get("template"))
        stamps = tuple(file_stamps(place, "**/*") for place in places)
        return loaded(stamps, current_scope()._replace(downloads=True), **options)

    return wrapper


def _truncate(rows: list[np.ndarray], limit: int, keep: str = "start") -> int:
    """Truncate rows in place to ``limit`` tokens with EOS; return how many were longer.

    Of a prompt the end is kept, which is the question.
    """
    long = [i for i, row in enumerate(rows) if len(row) > limit]
    for i in long:
        rows[i] = rows[i][-limit:] if keep == "end" else np.append(rows[i][: limit - 1], EOS)
    return len(long)
