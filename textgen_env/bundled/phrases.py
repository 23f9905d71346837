"""Phrases: what takes case and agrees, on both sides; and the pen that writes them.

A phrase is chosen once and then inflects on demand, ``german(case)`` and ``english(case)``, because the clause that takes it
decides on the case: a passive makes one language's object the other one's subject.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from textgen_env.bundled.records import Noun, Ranked
from textgen_env.bundled.tables import rows

T = TypeVar("T")
Form = Callable[[str], str]


@dataclass(slots=True)
class Pen:
    """The state of writing one sentence: chance, and how many more clauses may be embedded."""

    rng: Random
    budget: int = 0

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def embed(self, probability: float) -> bool:
        """Whether to write one more embedded clause; pays for it."""
        if self.budget > 0 and self.rng.random() < probability:
            self.budget -= 1
            return True
        return False

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self.rng.random() * len(items))]

    def synonym(self, words: Sequence[str]) -> str:
        """The first word mostly, another one sometimes."""
        return words[0] if len(words) == 1 or self.rng.random() < 0.7 else self.pick(words[1:])


@dataclass(slots=True)
class Phrase:
    """A noun phrase.

    ``key`` names its German pronoun: a gender (m f n p) or a person (1s 2s 1p 2p); ``pronoun`` is its English one.
    ``negation`` is what ``kein`` asks of English: ``no`` when the phrase says it itself, ``any`` when the verb does.
    ``relative`` is a relative clause (German, English).  ``leads`` marks a relative or question word: what English puts in
    front of the clause, as its subject and as its object.
    """

    german: Form
    english: Form
    key: str
    pronoun: str
    noun: Noun | None = None
    light: bool = False
    indefinite: bool = False
    negation: str = ""
    relative: tuple[str, str] = ("", "")
    leads: tuple[str, str] | None = None
    many: bool = False
    plural: bool = False  # the English side's number

    @property
    def person(self) -> int:
        return int(self.key[0]) if self.key[0] in "12" else 3

    @property
    def human(self) -> bool:
        if self.noun is None:
            return self.pronoun != "it"
        return self.noun.kind in ("person", "kin", "name")


PERSONAL_GERMAN = {
    key: {"nom": nominative, "acc": accusative, "dat": dative, "poss": possessive}
    for key, nominative, accusative, dative, possessive in rows("""
1s ich mich mir mein|2s du dich dir dein|m er ihn ihm sein|f sie sie ihr ihr|n es es ihm sein
1p wir uns uns unser|2p ihr euch euch euer|p sie sie ihnen ihr
""")
}
PERSONAL_ENGLISH = {
    subject: {"nom": subject, "acc": object_, "poss": possessive, "self": reflexive}
    for subject, object_, possessive, reflexive in rows("""
i me my myself|you you your yourself|he him his himself|she her her herself|it it its itself
we us our ourselves|they them their themselves
""")
}
PERSONAL_ENGLISH["one"] = {"nom": "one", "acc": "one", "poss": "one 's", "self": "oneself"}
PEOPLE = Ranked([("m", "he"), ("1s", "i"), ("f", "she"), ("1p", "we"), ("p", "they"), ("2s", "you"), ("2p", "you")], 2.0)


def personal(key: str, pronoun: str) -> Phrase:
    """A personal pronoun."""
    many = key in ("p", "1p", "2p")
    return Phrase(
        PERSONAL_GERMAN[key].__getitem__, PERSONAL_ENGLISH[pronoun].__getitem__, key, pronoun, light=True, many=many,
        plural=pronoun in ("we", "they") or key == "2p",
    )  # fmt: skip


def mention(phrase: Phrase) -> Phrase:
    """The pronoun that stands for a phrase later on: ``der tisch`` … ``er``, ``the table`` … ``it``."""
    return replace(personal(phrase.key, phrase.pronoun), plural=phrase.plural, noun=phrase.noun)


def reflexive(phrase: Phrase, case: str) -> str:
    return PERSONAL_GERMAN[phrase.key][case] if phrase.person < 3 else "sich"


def someone(pen: Pen) -> Phrase:
    return personal(*PEOPLE.draw(pen.rng))


def both(first: Phrase, second: Phrase, german: str = "und", english: str = "and") -> Phrase:
    """Two phrases joined; together they are plural."""
    key, pronoun = (
        ("1p", "we") if "1" in first.key + second.key else ("2p", "you") if "2" in first.key + second.key else ("p", "they")
    )
    return Phrase(
        lambda case: f"{first.german(case)} {german} {second.german(case)}",
        lambda case: f"{first.english(case)} {english} {second.english(case)}",
        key, pronoun, first.noun, many=True, plural=True,
    )  # fmt: skip
