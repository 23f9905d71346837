"""What a dictionary entry is: nouns, adjectives, adverbs, verbs with their arguments; and drawing them by frequency."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

from textgen_env.bundled import english, german

T = TypeVar("T")


class Ranked(Generic[T]):
    """Items in order of frequency, drawn by a Zipf–Mandelbrot law: P(rank r) ∝ 1 / (r + offset)."""

    def __init__(self, items: Sequence[T], offset: float = 3.0):
        self.items = list(items)
        self.edges = list(accumulate(1 / (rank + offset) for rank in range(len(self.items))))

    def draw(self, rng: Random) -> T:
        return self.items[bisect(self.edges, rng.random() * self.edges[-1])]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True, eq=False)
class Noun:
    """``number`` is how English counts it: count, mass or plural.  ``preposition`` (German, English) is the one of a place."""

    kind: str
    german: str
    gender: str
    many: str
    weak: bool
    english: tuple[str, ...]
    number: str
    preposition: tuple[str, str]
    proper: bool = False

    @property
    def pronoun(self) -> str:
        if self.kind in ("person", "kin", "name", "herr") and (self.gender != "n" or self.german == "mädchen"):
            return "they" if self.gender == "p" else "he" if self.gender == "m" else "she"
        return "they" if self.number == "plural" else "it"

    def inflected(self, case: str, many: bool) -> str:
        return _inflected(self, case, many)


@lru_cache(None)
def _inflected(noun: Noun, case: str, many: bool) -> str:
    if many:
        return german.dative_plural(noun.many) if case == "dat" and not noun.proper else noun.many
    if noun.weak:
        return noun.german if case == "nom" else "herrn" if noun.german == "herr" else noun.many
    if case == "gen" and noun.proper:
        return noun.german + "s"
    if case == "gen" and noun.gender in "mn":
        short = noun.many.endswith("s") or noun.german.endswith(("er", "el", "en"))
        return german.genitive(noun.german, len(re.findall(r"[aeiouäöü]+", noun.german)) == 1 and not short)
    return noun.german


@dataclass(frozen=True, slots=True, eq=False)
class Adjective:
    german: str
    english: tuple[str, ...]
    degrees: tuple[str, str] | None  # German comparative and superlative stem; None: not compared


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The nouns that an argument takes, by class; ``people``: names and personal pronouns too; ``plural``: only many."""

    choices: tuple[Ranked[Noun], ...]
    nouns: frozenset[Noun]
    people: bool = False
    plural: bool = False

    def draw(self, rng: Random) -> Noun:
        return self.choices[int(rng.random() * len(self.choices))].draw(rng)


@dataclass(frozen=True, slots=True, eq=False)
class Argument:
    """``kind`` is np, dass, ob, zu, dir or loc; ``english`` a preposition, ``(to)`` for an object that may stand first."""

    kind: str
    preposition: str = ""
    case: str = ""
    pool: Pool | None = None
    english: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A verb in one of its senses; see ``verbs``."""

    verb: str
    predicate: str
    reflexive: str
    sein: bool
    lasting: bool
    passive: bool
    english: tuple[str, ...]
    subject: Pool | None
    arguments: tuple[Argument, ...]
    swapped: bool

    @property
    def clausal(self) -> bool:
        return any(argument.kind in ("dass", "ob", "zu") for argument in self.arguments)

    @property
    def stative(self) -> bool:
        return self.english[0].split()[0] in english.STATIVE


@dataclass(frozen=True, slots=True, eq=False)
class Adverb:
    """``place`` is where English puts it: mid, end or front."""

    german: str
    english: tuple[str, ...]
    place: str
