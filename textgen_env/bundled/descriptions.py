"""Clauses with ``sein``, ``werden`` and ``es gibt``; and any clause at all."""

from __future__ import annotations

from dataclasses import replace

from textgen_env.bundled import adverbials, lexicon
from textgen_env.bundled import english as en
from textgen_env.bundled import german as de
from textgen_env.bundled.assembly import assemble
from textgen_env.bundled.choices import SUBJECT, make_plan
from textgen_env.bundled.clauses import COMPLEMENT, INDEFINITE, OBJECT, PLACE, PREDICATE, TIME, WHEN, Clause, Part
from textgen_env.bundled.events import ES, PAST, add_relative, event
from textgen_env.bundled.lexicon import ADJECTIVES, BY_LEMMA, NOUNS
from textgen_env.bundled.nominals import phrase, someone_or_something
from textgen_env.bundled.phrases import Pen, Phrase, personal
from textgen_env.bundled.predicates import Plan
from textgen_env.bundled.records import Adjective, Frame
from textgen_env.bundled.tables import entries, words

PERSONS = lexicon.pool("person")
SUBJECTS = lexicon.pool("person kin building doc work task idea vehicle animal clothes room")
EXISTING = lexicon.pool("building place event thing task work animal plant")


def without_arguments(german: str, english: str, sein: bool = True) -> Frame:
    """A frame for what is not in the tables."""
    return Frame(german, "", "", sein, True, False, (english,), PERSONS, (), False)


BE, BECOME = without_arguments("sein", "be"), without_arguments("werden", "become")
GIVE = without_arguments("geben", "be", sein=False)
PERSONAL, GENERAL = ADJECTIVES[BY_LEMMA["lehrer"][0]], ADJECTIVES[BY_LEMMA["idee"][0]]  # for pronouns, and for what has none
STATES: dict[str, list[tuple[str, str]]] = {"past": [], "present": []}
for _tense, _german, _english in entries("""
[past]
damals = at that time | gestern = yesterday | letztes jahr = last year | lange zeit = for a long time
[present]
heute = today | jetzt = now | im moment = at the moment | heutzutage = these days
"""):
    STATES[_tense].append((_german, _english))


def copular(pen: Pen, subject: Phrase | None = None, tense: str = "", main: bool = True) -> Clause:
    """``das haus ist alt``, perhaps older than another, or ``er ist ein guter lehrer``."""
    subject = subject or add_relative(pen, someone_or_something(pen, SUBJECTS, subject=True), 0.35)
    frame = BECOME if subject.human and pen.chance(0.12) else BE
    plan = replace(make_plan(pen, frame, subject, tense or pen.pick(("past", "habit"))), modal="", perfect=False)
    is_profession = subject.human and not plan.negated and pen.chance(0.25)
    parts = [profession(pen, subject) if is_profession else quality(pen, subject, graded=not plan.negated and frame is BE)]
    if tense != "before" and pen.chance(0.2):
        german, english = pen.pick(STATES["past" if plan.tense in PAST else "present"])
        parts.append(Part(german, english, TIME, WHEN, movable=True, fronted=main and pen.chance(0.4)))
    return assemble(pen, frame, plan, subject, {}, parts=parts)


def quality(pen: Pen, subject: Phrase, graded: bool) -> Part:
    """An adjective that fits, as it is, with a degree, or compared."""
    noun = subject.noun
    fitting = (noun and ADJECTIVES.get(noun)) or (PERSONAL if subject.human else GENERAL)
    adjective, draw = fitting.draw(pen.rng), pen.rng.random()
    german, english = adjective.german, pen.synonym(adjective.english)
    if graded and draw < 0.25:
        pool = lexicon.pool(noun.kind) if noun else PERSONS
        german, english = comparison(pen, adjective, english, someone_or_something(pen, pool, owner=subject, pronouns=False))
    elif draw < 0.45:
        degree, translation = pen.pick((("sehr", "very"), ("zu", "too"), ("ziemlich", "rather"), ("so", "so")))
        german, english = f"{degree} {german}", f"{translation} {english}"
    return Part(german, english, PREDICATE, COMPLEMENT)


def comparison(pen: Pen, adjective: Adjective, english: str, other: Phrase) -> tuple[str, str]:
    """``so alt wie`` or ``älter als`` another."""
    if adjective.degrees is None or pen.chance(0.3):
        return f"so {adjective.german} wie {other.german('nom')}", f"as {english} as {other.english('acc')}"
    much, translation = pen.pick((("", ""), ("", ""), ("viel ", "much "), ("etwas ", "a little "), ("noch ", "even ")))
    more = en.comparative(adjective.english[0])
    return f"{much}{adjective.degrees[0]} als {other.german('nom')}", f"{translation}{more} than {other.english('acc')}"


PROFESSIONS = {
    gender: lexicon.Ranked([noun for noun in NOUNS["person"].items if noun.gender == gender and noun.german not in excluded], 8)
    for excluded in [
        words("mann frau mädchen junge freund freundin nachbar nachbarin chef chefin gast kunde kundin gegner gegnerin")
    ]
    for gender in "mf"
}


def profession(pen: Pen, subject: Phrase) -> Part:
    """``lehrer`` or ``ein guter lehrer``: the gender is the subject's."""
    gender = subject.key if subject.key in "mf" else pen.pick("mf")
    noun = PROFESSIONS[gender].draw(pen.rng)
    if subject.many:
        return Part(noun.many, en.plural(noun.english[0]), PREDICATE, COMPLEMENT)
    german, english = noun.german, noun.english[0]
    if noun in ADJECTIVES and pen.chance(0.5):
        adjective = ADJECTIVES[noun].draw(pen.rng)
        german = f"{de.ein_word('ein', gender, 'nom')} {de.adjective(adjective.german, 'mixed', gender, 'nom')} {german}"
        english = f"{adjective.english[0]} {english}"
    return Part(german, f"{en.article(english)} {english}", PREDICATE, COMPLEMENT)


def existential(pen: Pen, tense: str = "", main: bool = True) -> Clause:
    """``es gibt`` and ``there is``."""
    thing = phrase(pen, EXISTING.draw(pen.rng))
    while not thing.indefinite:
        thing = phrase(pen, pen.pick((EXISTING, PERSONS)).draw(pen.rng))
    thing = add_relative(pen, thing, 0.4)
    plan = Plan(tense or pen.pick(("habit", "past", "past", "soon")), perfect=pen.chance(0.2), future=True)
    there = replace(personal("n", "it"), english=lambda case: "there", plural=thing.plural)
    place = Part(*adverbials.place(pen), PLACE, COMPLEMENT, movable=True, fronted=main and pen.chance(0.6))
    what = Part(thing.german("acc"), thing.english("acc"), INDEFINITE, OBJECT, thing.relative[0])
    return assemble(pen, GIVE, plan, ES, {}, parts=[place, what], there=there)


def plain(pen: Pen, subject: Phrase | None = None, tense: str = "", main: bool = True, terse: bool = False) -> Clause:
    """Any clause."""
    draw = pen.rng.random()
    helpless = subject is not None and lexicon.frames_with(subject.noun, SUBJECT) is None
    if (draw < 0.14 or helpless) and tense not in ("now", "soon", "done", "since"):
        return copular(pen, subject, tense, main)
    if draw < 0.18 and subject is None and tense in ("", "past", "habit"):
        return existential(pen, tense, main)
    return event(pen, subject=subject, tense=tense, main=main, terse=terse)
