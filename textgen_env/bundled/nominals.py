"""Noun phrases: a noun with its determiner, adjectives, compound parts and owners, on both sides at once."""

from __future__ import annotations

from textgen_env.bundled import english as en
from textgen_env.bundled import german as de
from textgen_env.bundled import lexicon
from textgen_env.bundled.determiners import (
    Determiner,
    amount,
    definite,
    der,
    ein,
    none,
    nothing,
    number,
    possessive,
    quantifier,
    this,
)
from textgen_env.bundled.lexicon import ADJECTIVES, COMPOUNDS, NOUNS
from textgen_env.bundled.phrases import Pen, Phrase, both, personal, someone
from textgen_env.bundled.records import Noun, Pool
from textgen_env.bundled.tables import join, words

OWNED = set(words("thing device clothes vehicle doc animal room idea work instrument building furnishing furniture"))
OWNERS = lexicon.pool("person")
SPOUSES = {"mann", "frau"}
PARTS_OF = {
    kind: lexicon.pool(owners)
    for kind, owners in (
        ("part", "building"),
        ("room", "building"),
        ("idea", "person org"),
        ("work", "person"),
        ("doc", "person org"),
    )
}


def determiner(pen: Pen, noun: Noun, owner: Phrase | None, negated: bool, plain: bool) -> Determiner:
    """One that fits the noun; ``owner`` is whom ``sein`` and ``ihr`` may mean, ``plain`` excludes genitives and quantifiers."""
    if noun.proper or noun.kind in ("language", "subject"):
        return Determiner(nothing, "", "strong")
    if noun.kind == "unique":
        return Determiner(definite, "the", "weak")
    draw, always = pen.rng.random(), noun.gender == "p"
    many = always or (bool(noun.many) and noun.number == "count" and pen.chance(0.24))
    if noun.kind == "kin" or (noun.kind in OWNED and draw < 0.22):
        if not plain and noun.german not in SPOUSES and pen.chance(0.35):
            return owned(pen, noun, many)
        holder = owner if owner is not None and pen.chance(0.6) else someone(pen)
        if noun.german in SPOUSES and noun.kind == "kin" and holder.many:
            holder = personal("1s", "i")
        return possessive(holder, many)
    if not plain and noun.kind in PARTS_OF and pen.chance(0.3):
        return owned(pen, noun, many)
    if 0.22 <= draw < 0.29 and not always:
        return this(noun.number == "plural" or (many and noun.number == "count"), many)
    countable, mixed = noun.number == "count" and not always, noun.number != "count" and bool(noun.many) and not always
    if mixed or draw < (0.62 if countable else 0.7) or (plain and (many or not countable)):
        return Determiner(definite, "the", "weak", many)
    if negated:
        return none(pen, many, countable)
    if not countable:
        return (
            amount(pen)
            if draw < 0.8 and not many and noun.number == "mass"
            else Determiner(nothing, "", "strong", many, indefinite=True)
        )
    if not many:
        return singular(draw if not plain else 0.0)
    return plural(pen, draw)


def singular(draw: float) -> Determiner:
    """``ein`` mostly, else ``jeder`` or ``jener``."""
    if draw > 0.95:
        return Determiner(der("jed"), "every", "weak")
    if draw > 0.93:
        return Determiner(der("jen"), "that", "weak")
    return Determiner(ein("ein"), "a", "mixed", indefinite=True)


def plural(pen: Pen, draw: float) -> Determiner:
    """None mostly, else a number or a quantifier."""
    if draw < 0.75:
        return Determiner(nothing, "", "strong", many=True, indefinite=True)
    return number(pen) if draw < 0.87 else quantifier(pen)


def owned(pen: Pen, noun: Noun, many: bool) -> Determiner:
    """A genitive: ``das haus des lehrers``, ``peters haus``, ``das dach der kirche``."""
    owners = PARTS_OF.get(noun.kind, OWNERS)
    if owners.people and pen.chance(0.35):
        name = NOUNS["name"].draw(pen.rng)
        if name.german[-1] in "szxß" or pen.chance(0.25):
            return Determiner(definite, f"{name.english[0]} 's", "weak", many, after=f"von {name.german}")
        return Determiner(lambda gender, case: name.german + "s", f"{name.english[0]} 's", "strong", many)
    holder = phrase(pen, owners.draw(pen.rng), plain=True)
    after = de.preposition("von", holder.german("dat")) if pen.chance(0.15) else holder.german("gen")
    if owners.people and pen.chance(0.6):
        text = holder.english("nom")
        return Determiner(definite, text + (" '" if holder.plural and text.endswith("s") else " 's"), "weak", many, after=after)
    return Determiner(definite, "the", "weak", many, after=after, of=f"of {holder.english('acc')}")


Adjective = tuple[str, str, str]  # German stem, English before the noun, English after it


def adjectives(pen: Pen, noun: Noun, det: Determiner, rate: float = 0.34) -> list[Adjective]:
    """None, one or two, of which the second is a colour or an origin; now and then graded."""
    found: list[Adjective] = []
    if noun in ADJECTIVES and pen.chance(rate):
        adjective = ADJECTIVES[noun].draw(pen.rng)
        word, stem, draw = pen.synonym(adjective.english), adjective.german, pen.rng.random()
        if adjective.degrees and draw < 0.05 and det.english == "the":
            stem, word = adjective.degrees[1], en.superlative(adjective.english[0])
        elif adjective.degrees and draw < 0.05 and det.english == "a":
            stem, word = adjective.degrees[0], en.comparative(adjective.english[0])
        elif adjective.degrees and draw < 0.13:
            degree = lexicon.DEGREES.draw(pen.rng)
            stem, word = f"{degree.german} {stem}", f"{pen.synonym(degree.english)} {word}"
        found.append((stem, word, ""))
    for table, nouns in ((lexicon.COLOURS, lexicon.COLOURED), (lexicon.ORIGINS, lexicon.ORIGINATING)):
        if noun in nouns and pen.chance(0.07):
            other = table.draw(pen.rng)
            found.append((other.german, other.english[0], ""))
            break
    return found


def phrase(
    pen: Pen,
    noun: Noun,
    *,
    owner: Phrase | None = None,
    negated: bool = False,
    plain: bool = False,
    many: bool | None = None,
    det: Determiner | None = None,
    attribute: Adjective | None = None,
) -> Phrase:
    """A phrase around ``noun``, or around a compound of it; ``attribute`` is a participial phrase before its adjective."""
    head = noun
    if noun in COMPOUNDS and pen.chance(0.25):
        noun = lexicon.compound(noun, *pen.pick(COMPOUNDS[noun]))
    det = det or determiner(pen, noun, owner, negated, plain)
    if many is not None and noun.many and noun.number == "count" and noun.gender != "p" and det.many != many:
        det = Determiner(definite, "the", "weak", many)
    found = adjectives(pen, head, det, 0.1 if plain else 0.34 if head is noun else 0.15)
    if attribute:
        found = [attribute, *found[:1]]
    plural = noun.number == "plural" or (det.many and noun.number == "count")
    english, gender = english_text(pen, noun, det, found, plural), "p" if det.many else noun.gender

    def german(case: str) -> str:
        adjectives = (de.adjective(stem, det.inflection, gender, case) for stem, *_ in found)
        return join(det.german(gender, case), *adjectives, noun.inflected(case, det.many), det.after)

    pronoun = "they" if plural else "it" if det.many else noun.pronoun
    return Phrase(
        german, lambda case: english, gender, pronoun, head,
        indefinite=det.indefinite, negation=det.negation, many=det.many, plural=plural,
    )  # fmt: skip


def english_text(pen: Pen, noun: Noun, det: Determiner, adjectives: list[Adjective], plural: bool) -> str:
    """English nouns have no case; what German puts before the noun may stand behind it."""
    word = pen.synonym(noun.english)
    word = en.plural(word) if plural and noun.number == "count" else word
    core = join(*(before for _, before, _ in adjectives), word, *(after for *_, after in adjectives), det.of)
    return join(en.article(core) if det.english == "a" else det.english, core)


def person_name(pen: Pen) -> Phrase:
    """``peter``, ``maria huber`` or ``herr müller``."""
    draw, noun = pen.rng.random(), NOUNS["name"].draw(pen.rng)
    if draw < 0.6:
        return phrase(pen, noun)
    surname = lexicon.SURNAMES.draw(pen.rng)
    if draw < 0.78:
        full = f"{noun.german} {surname}"
        return Phrase(lambda case: full, lambda case: full, noun.gender, noun.pronoun, noun)
    title, oblique, english = ("herr", "herrn", "mr.") if noun.gender == "m" else ("frau", "frau", "mrs.")
    return Phrase(
        lambda case: f"{title if case == 'nom' else oblique} {surname}",
        lambda case: f"{english} {surname}",
        noun.gender,
        noun.pronoun,
        noun,
    )


def someone_or_something(
    pen: Pen, pool: Pool, *, owner: Phrase | None = None, negated: bool = False, subject: bool = False, pronouns: bool = True
) -> Phrase:
    """A phrase from a pool: a pronoun, a name, a noun, or two of them."""
    draw = pen.rng.random()
    many = True if pool.plural else None
    if pool.people:
        if pronouns and draw < (0.36 if subject else 0.2):
            return someone(pen)
        if draw > 0.84:
            return person_name(pen)
        if draw > 0.81:
            return both(person_name(pen), phrase(pen, NOUNS["kin"].draw(pen.rng), owner=owner, plain=True))
    first = phrase(pen, pool.draw(pen.rng), owner=owner, negated=negated, many=many)
    if draw < 0.05 and not first.negation and first.noun is not None and not first.noun.proper and not pool.people:
        second = phrase(pen, NOUNS[first.noun.kind].draw(pen.rng), owner=owner, many=many)
        if second.noun is not first.noun and second.noun is not None and second.noun in pool.nouns:
            return both(first, second)
    return first
