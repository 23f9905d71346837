"""The two records of text: pairs, and a corpus of splits that knows where it came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from typing import Literal

from textgen_env.data.files import MAX_TEXT
from textgen_env.errors import UserError
from textgen_env.terminal import visible

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Pairs:
    """Sentences and their references: ``references[i][0]`` is the training target of ``sources[i]``."""

    sources: list[str]
    references: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.sources)

    def rows(self, index: list[int]) -> Pairs:
        """The pairs at ``index``, in that order."""
        return Pairs([self.sources[i] for i in index], [self.references[i] for i in index])

    def mapped(self, change: Callable[[str], str]) -> Pairs:
        """The same pairs with every text changed."""
        return Pairs(
            [change(text) for text in self.sources],
            [tuple(map(change, row)) for row in self.references],
        )


@dataclass(frozen=True)
class Preprocessing:
    """What was done to the raw text of a corpus, both sides, in this order; white space is always normalized.

    unescape: XML and Moses escapes were undone. split_marks: punctuation marks were set apart.
    lowercase: the text is in lower case.
    """

    unescape: bool = False
    split_marks: bool = False
    lowercase: bool = False

    def __str__(self) -> str:
        words = (
            ("XML and Moses escapes undone", self.unescape),
            ("punctuation marks set apart", self.split_marks),
            ("lowercased", self.lowercase),
        )
        return ", ".join(word for word, done in words if done) or "none"


@dataclass(frozen=True)
class Corpus:
    """Text in three splits.  UserError where a text is none, is too long, or holds half of a surrogate pair.

    source: which of the three places it came from; origin: exactly what there, in words.
    notes: what a reader of the scores has to know, a line each (why this corpus, what was left out).
    preprocessing: what was done to the raw text.
    bleu: the name of BLEU with the tokenizer chosen for the targets; empty where none was chosen.
    """

    name: str
    source: Literal["local", "hub", "bundled"]
    origin: str
    splits: dict[str, Pairs]
    notes: tuple[str, ...] = ()
    preprocessing: Preprocessing = Preprocessing()
    bleu: str = ""

    def __post_init__(self) -> None:
        for split, pairs in self.splits.items():
            if not _are_sound([*pairs.sources, *chain.from_iterable(pairs.references)]):
                raise _unsound(pairs, f"{self.name}, {split}")

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over every text in order; any change of text, order or split changes it."""
        parts = [[split, pairs.sources, pairs.references] for split, pairs in self.splits.items()]
        return blake2b(json.dumps(parts, ensure_ascii=False).encode(), digest_size=8).hexdigest()

    @property
    def sizes(self) -> dict[str, int]:
        """Pairs in each split."""
        return {split: len(pairs) for split, pairs in self.splits.items()}

    @cached_property
    def repeated(self) -> dict[str, int]:
        """For each split after the first, how many of its source sentences stand in an earlier split too."""
        seen: set[str] = set()
        counts = {}
        for split, pairs in self.splits.items():
            counts[split] = sum(text in seen for text in pairs.sources)
            seen.update(pairs.sources)
        return {split: count for split, count in counts.items() if count}

    def mapped(self, change: Callable[[str], str], **recorded: bool) -> Corpus:
        """The same corpus with every text changed.  recorded: fields of ``preprocessing`` that this change sets."""
        splits = {split: pairs.mapped(change) for split, pairs in self.splits.items()}
        return replace(self, splits=splits, preprocessing=replace(self.preprocessing, **recorded))

    def lowercased(self) -> Corpus:
        """The same corpus in lower case."""
        return self.mapped(str.lower, lowercase=True)

    def describe(self) -> str:
        """The banner: what was taken, its sizes and fingerprint, then a line for each note."""
        sizes = " · ".join(f"{split} {size:,}" for split, size in self.sizes.items())
        lines = [
            visible(
                f"corpus {self.name} ({self.source}: {self.origin}): {sizes} pairs, fingerprint {self.fingerprint}"
            ),
            *self.notes,
        ]
        if self.repeated:
            repeated = ", ".join(f"{count:,} {split}" for split, count in self.repeated.items())
            lines.append(
                f"note: {repeated} source sentences also stand in an earlier split; scores on them flatter"
            )
        return "\n".join(lines)


def _are_sound(texts: Sequence[str]) -> bool:
    """Whether all are texts of at most ``MAX_TEXT`` characters that UTF-8 can express."""
    try:
        "".join(texts).encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return max(map(len, texts), default=0) <= MAX_TEXT


def _unsound(pairs: Pairs, where: str) -> UserError:
    """What is wrong with the first text that is not sound."""
    texts = (
        (row, text)
        for row, source in enumerate(pairs.sources)
        for text in (source, *pairs.references[row])
    )
    row, text = next((row, text) for row, text in texts if not _are_sound([text]))
    if not isinstance(text, str):
        return UserError(f"{where} row {row}: {type(text).__name__} where a text is expected")
    if len(text) > MAX_TEXT:
        return UserError(
            f"{where} row {row}: a text of {len(text):,} characters, at most {MAX_TEXT:,}; split or delete it"
        )
    return UserError(
        f"{where} row {row}: half a character (an unpaired surrogate); write the whole one"
    )
