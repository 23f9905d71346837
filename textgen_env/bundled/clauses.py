"""Clauses: the constituents of both sides, written down once and said in any order that either language asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

from textgen_env.bundled.phrases import Pen
from textgen_env.bundled.predicates import EnglishVerbs, GermanVerbs, Link, Plan, english_infinitive, german_infinitive
from textgen_env.bundled.records import Frame
from textgen_env.bundled.tables import join

# where a constituent stands in the German middle field, lowest first
(
    PRONOUN,
    REFLEXIVE,
    DATIVE_PRONOUN,
    TIME,
    ATTITUDE,
    DATIVE,
    ACCUSATIVE,
    NOT,
    MANNER,
    PLACE,
    AGENT,
    INDEFINITE,
    PREDICATE,
    OBLIQUE,
    GOAL,
) = range(15)
# where it stands in English: among the verbs, after them, or before the subject
MIDDLE, FIRST, OBJECT, AFTER_OBJECT, COMPLEMENT, HOW, WHERE, WHEN, FRONT = range(9)


@dataclass(slots=True)
class Part:
    """One constituent on both sides."""

    german: str
    english: str
    field: int
    slot: int
    relative: str = ""  # a German relative clause that may wait until the clause's end
    movable: bool = False  # may stand before the finite verb
    fronted: bool = False


@dataclass(slots=True)
class Clause:
    """A clause before its words are in order.

    ``lead`` is a relative or question phrase (German, English) that stands first; a side whose subject it is has no other.
    ``tail`` is a clause that follows the last verb.
    """

    pen: Pen
    frame: Frame
    plan: Plan
    german_subject: str
    english_subject: str
    german_verbs: GermanVerbs
    english_verbs: EnglishVerbs
    chain: list[Link]
    parts: list[Part] = field(default_factory=list)
    lead: tuple[str, str] | None = None
    tail: tuple[str, str] = ("", "")
    negation: str = ""  # the English one, among the verbs

    # German ---------------------------------------------------------------------------------------------------------------

    def middle(self, close: str) -> str:
        """The middle field, the closing verbs and what follows them."""
        parts = sorted((part for part in self.parts if not part.fronted), key=lambda part: part.field)
        said: list[str] = []
        for at, part in enumerate(parts):
            last = at == len(parts) - 1
            if last and part.relative and close and not self.tail[0] and self.pen.chance(0.6):
                return join(*said, part.german, close, part.relative)
            said.append(join(part.german, part.relative))
        return join(*said, close, self.tail[0])

    def main(self, front: str = "") -> str:
        """Verb second; ``front`` is what stands before the verb if it is not the subject or a part marked as fronted."""
        if self.lead:
            return join(self.lead[0], self.german_verbs.finite, self.german_subject, self.middle(self.german_verbs.main))
        for part in self.parts:
            part.fronted &= not front
        first = front or next((join(part.german, part.relative) for part in self.parts if part.fronted), "")
        if first:
            return join(first, self.german_verbs.finite, self.german_subject, self.middle(self.german_verbs.main))
        return join(self.german_subject, self.german_verbs.finite, self.middle(self.german_verbs.main))

    def question(self) -> str:
        """Verb first."""
        return join(self.german_verbs.finite, self.german_subject, self.middle(self.german_verbs.main))

    def subordinate(self, conjunction: str = "") -> str:
        """Verb last; a relative or question phrase takes the conjunction's place."""
        for part in self.parts:
            part.fronted = False
        if self.lead:
            conjunction = self.lead[0]
        return join(conjunction, self.german_subject, self.middle(self.german_verbs.last))

    def german_predicate(self, first: Clause) -> str:
        """What follows ``und`` after a first clause with the same subject; an auxiliary is not said again."""
        shared = self.german_verbs.rest and self.german_verbs.finite == first.german_verbs.finite
        return join("" if shared else self.german_verbs.finite, self.middle(self.german_verbs.main))

    def german_zu(self) -> str:
        return self.middle(german_infinitive(self.frame, self.plan))

    # English --------------------------------------------------------------------------------------------------------------

    def after(self) -> str:
        parts = sorted((part for part in self.parts if MIDDLE < part.slot < FRONT), key=lambda part: part.slot)
        return join(*(part.english for part in parts), self.tail[1])

    def among(self) -> str:
        return join(*(part.english for part in self.parts if part.slot == MIDDLE))

    def before(self) -> str:
        """Adverbials that open the sentence, each with its comma."""
        return join(*(f"{part.english} ," for part in self.parts if part.slot == FRONT))

    def statement(self) -> str:
        """Subject, verb, object; after a relative word without its gap."""
        verbs = self.english_verbs.statement(self.negation, self.among())
        if self.lead:
            return join(self.lead[1], self.english_subject, verbs, self.after())
        return join(self.before(), self.english_subject, verbs, self.after())

    def asked(self) -> str:
        """The clause as a question."""
        lead = self.lead[1] if self.lead else ""
        if not self.english_subject:
            return join(lead, self.english_verbs.statement(self.negation, self.among()), self.after())
        return join(lead, self.english_verbs.question(self.english_subject, self.negation, self.among()), self.after())

    def english_predicate(self, first: Clause) -> str:
        """The same after ``and``."""
        auxiliary = self.english_verbs.auxiliary
        if auxiliary and auxiliary == first.english_verbs.auxiliary:
            return join(self.among(), self.english_verbs.rest, self.after())
        return join(self.english_verbs.statement(self.negation, self.among()), self.after())

    def english_infinitive(self, kind: str) -> str:
        """``kind`` is to, base or ing."""
        words = join("not" if self.negation else "", self.among(), english_infinitive(self.chain, kind))
        return join(words, self.after())
