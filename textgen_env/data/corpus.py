"""Text records: pairs of source and references, and a corpus of splits with its provenance."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from textgen_env.data.files import digest
from textgen_env.data.text import text_problem
from textgen_env.errors import UserError
from textgen_env.terminal import escape_controls

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Pairs:
    """Sources and references; ``references[i][0]`` is the training target of ``sources[i]``."""

    sources: list[str]
    references: list[tuple[str, ...]]

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[str, Sequence[str]]]) -> Pairs:
        """The pairs of ``(source, references)``, one per row."""
        pairs = cls([], [])
        for source, references in rows:
            pairs.append(source, references)
        return pairs

    def append(self, source: str, references: Sequence[str]) -> None:
        """Add a pair, while the corpus is being read."""
        self.sources.append(source)
        self.references.append(tuple(references))

    def __len__(self) -> int:
        return len(self.sources)

    def rows(self, index: list[int]) -> Pairs:
        """Select the pairs at ``index``, in that order."""
        return Pairs([self.sources[i] for i in index], [self.references[i] for i in index])

    def mapped(self, function: Callable[[str], str]) -> Pairs:
        """Apply ``function`` to every text."""
        return Pairs(
            [function(text) for text in self.sources],
            [tuple(map(function, texts)) for texts in self.references],
        )


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing steps applied to sources and references, in this order.

    White space is always normalized.

    Args:
        unescape: XML and Moses escapes were undone.
        split_marks: Punctuation marks were separated from words.
        lowercase: Text was lowercased.
    """

    unescape: bool = False
    split_marks: bool = False
    lowercase: bool = False

    def __str__(self) -> str:
        steps = (
            ("XML and Moses escapes undone", self.unescape),
            ("punctuation separated", self.split_marks),
            ("lowercased", self.lowercase),
        )
        return ", ".join(step for step, done in steps if done) or "none"


@dataclass(frozen=True)
class Corpus:
    """Text in three splits, with its provenance.

    Args:
        name: Short name, such as that of its folder.
        source: The kind of place that the text comes from.
        origin: The exact place, in words.
        splits: The pairs of each split.
        notes: Lines to print with any score, such as why this corpus was chosen or what was left
            out.
        preprocessing: The steps applied to the raw text.
        places: Where sources were read, such as FILE:LINE, for messages.
        bleu: BLEU metric name with the tokenizer chosen for the targets; empty if none was chosen.

    Raises:
        UserError: A text is not a string, is too long, or has an unpaired surrogate.
    """

    name: str
    source: Literal["local", "hub", "bundled"]
    origin: str
    splits: dict[str, Pairs]
    notes: tuple[str, ...] = ()
    preprocessing: Preprocessing = Preprocessing()
    bleu: str = ""
    places: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for split, pairs in self.splits.items():
            rows = zip(pairs.sources, pairs.references, strict=True)
            for row, (source, references) in enumerate(rows):
                for problem in map(text_problem, (source, *references)):
                    if problem:
                        raise UserError(f"{self.name}, {split} row {row}: {problem}")

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every text, in order and by split; 16 hex digits."""
        content = [[split, pairs.sources, pairs.references] for split, pairs in self.splits.items()]
        return digest(json.dumps(content, ensure_ascii=False))

    @property
    def sizes(self) -> dict[str, int]:
        """Number of pairs per split."""
        return {split: len(pairs) for split, pairs in self.splits.items()}

    @cached_property
    def repeated(self) -> dict[str, int]:
        """Number of sources per split that also occur in an earlier split; zeros are left out."""
        seen: set[str] = set()
        counts = {}
        for split, pairs in self.splits.items():
            counts[split] = sum(text in seen for text in pairs.sources)
            seen.update(pairs.sources)
        return {split: count for split, count in counts.items() if count}

    def with_pairs(self, function: Callable[[Pairs], Pairs]) -> Corpus:
        """Apply ``function`` to the pairs of every split."""
        return replace(self, splits={split: function(rows) for split, rows in self.splits.items()})

    def mapped(self, function: Callable[[str], str], **steps: bool) -> Corpus:
        """Apply ``function`` to every text; ``steps`` are fields of ``preprocessing`` to set."""
        corpus = self.with_pairs(lambda pairs: pairs.mapped(function))
        return replace(corpus, preprocessing=replace(self.preprocessing, **steps))

    def lowercased(self) -> Corpus:
        """Lowercase every text."""
        return self.mapped(str.lower, lowercase=True)

    def describe(self) -> str:
        """The banner: name, origin, sizes and fingerprint, then one line per note."""
        sizes = " · ".join(f"{split} {size:,}" for split, size in self.sizes.items())
        origin = escape_controls(f"{self.name} ({self.source}: {self.origin})")
        lines = [f"corpus {origin}: {sizes} pairs, fingerprint {self.fingerprint}", *self.notes]
        if self.repeated:
            counts = ", ".join(f"{count:,} {split}" for split, count in self.repeated.items())
            lines.append(
                f"note: {counts} source sentences also occur in an earlier split; "
                "their scores are too optimistic"
            )
        return "\n".join(lines)


def local_corpus(
    place: Path,
    splits: dict[str, Pairs],
    unescape: bool,
    origin: str = "",
    notes: tuple[str, ...] = (),
) -> Corpus:
    """A corpus from the user's file or folder, which gives it its name.

    Args:
        place: The file or folder.
        splits: The pairs of each split.
        unescape: Whether escapes were undone.
        origin: The exact place, in words; by default ``place``.
        notes: As in ``Corpus``.
    """
    name = place.resolve().name
    name = name.partition(".")[0] if place.is_file() else name
    return Corpus(name, "local", origin or str(place), splits, notes, Preprocessing(unescape))
