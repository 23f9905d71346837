"""Clauses from nothing, down to the clauses inside them: relative clauses, complements, infinitives, participles."""

from __future__ import annotations

import re
from dataclasses import replace

from textgen_env.bundled import german as de
from textgen_env.bundled import leads, lexicon
from textgen_env.bundled.assembly import MAN, assemble
from textgen_env.bundled.attributes import participial
from textgen_env.bundled.choices import (
    OBJECT,
    PLAIN,
    SUBJECT,
    TENSES,
    active,
    add_adverbials,
    choose_frame,
    lighten,
    local_parts,
    make_plan,
)
from textgen_env.bundled.clauses import ACCUSATIVE, DATIVE, OBLIQUE, TIME, Clause
from textgen_env.bundled.lexicon import NOUNS
from textgen_env.bundled.nominals import phrase, someone_or_something
from textgen_env.bundled.phrases import Pen, Phrase, mention, personal
from textgen_env.bundled.predicates import Plan
from textgen_env.bundled.records import Frame, Noun, Ranked
from textgen_env.bundled.tables import join, rows, words

ES = personal("n", "it")


def happens_somewhere(frame: Frame) -> bool:
    """What people do in a place, or be: for ``wo`` and ``in dem``."""
    doing = active(frame) or frame.verb in ("wohnen", "stehen", "sitzen", "liegen")
    return doing and frame.subject is not None and frame.subject.people and all(a.kind != "dir" for a in frame.arguments)


PLACED = Ranked([frame for frame in PLAIN.items if happens_somewhere(frame)], 10)


def event(
    pen: Pen,
    *,
    subject: Phrase | None = None,
    lead: tuple[int, Phrase] | None = None,
    frame: Frame | None = None,
    tense: str = "",
    plan: Plan | None = None,
    main: bool = False,
    bare: bool = False,
    placed: bool = False,
    terse: bool = False,
) -> Clause:
    """A clause about ``subject``, or with the relative word ``lead`` in role 0 (subject) or 1 (first object).

    ``main`` allows what only stands in main clauses; ``bare`` is for infinitives: something that the subject can do, neither
    modal nor passive; ``placed`` says that the place is said elsewhere; ``terse`` leaves adverbials and negation away.
    """
    known = subject is not None or (lead is not None and lead[0] == SUBJECT)
    frame = frame or choose_frame(pen, subject, lead, bare)
    subject = lead[1] if lead and lead[0] == SUBJECT else subject or make_subject(pen, frame, main, lead is not None)
    plan = plan or make_plan(pen, frame, subject, UNTIMED.get(tense, tense) if terse else tense, bare, terse)
    if known or subject is MAN:  # a passive may leave its agent away
        plan = replace(
            plan, passive=False, modal="" if subject is MAN else plan.modal, gladly=plan.gladly and subject is not MAN
        )
    arguments = make_arguments(pen, frame, plan, subject, lead)
    parts = [] if terse else add_adverbials(pen, frame, plan, subject, main, placed)
    if any(phrase.relative[0] for phrase in arguments.values()):
        parts = lighten(parts, plan, main)
    if plan.tense == "soon" and not any(part.field == TIME for part in parts):
        plan = replace(plan, future=True)
    if not placed:
        parts += local_parts(pen, frame, subject)
    tail = complement(pen, frame, plan, subject, arguments)
    clause = assemble(pen, frame, plan, subject, arguments, lead=lead[1] if lead else None, parts=parts, tail=tail)
    if main and not any(part.fronted for part in clause.parts) and pen.chance(0.2):
        front_object(pen, clause)
    return clause


UNTIMED = {"now": "habit", "since": "past", "done": "past"}  # tenses that German shows by an adverbial alone


def make_subject(pen: Pen, frame: Frame, main: bool, light: bool) -> Phrase:
    """Who does it; ``man`` now and then; ``es`` where the frame says so.  ``light`` keeps it short."""
    if frame.subject is None:
        return ES
    if frame.passive and main and pen.chance(0.05):
        return MAN
    return add_relative(pen, someone_or_something(pen, frame.subject, subject=True), 0 if light else 0.22)


SHOWS_CASE = re.compile(r"(d|dies|jen|jed|.*ein|unser|eur|ihr)(en|em)$")


def front_object(pen: Pen, clause: Clause) -> None:
    """``den brief hat peter geschrieben``: an object or a complement before the verb, if it cannot be taken for the subject."""
    found = [part for part in clause.parts if part.movable and part.german and part.field in (DATIVE, ACCUSATIVE, OBLIQUE)]
    found = [part for part in found if part.field == OBLIQUE or SHOWS_CASE.match(part.german.split()[0])]
    if found:
        pen.pick(found).fronted = True


def make_arguments(pen: Pen, frame: Frame, plan: Plan, subject: Phrase, lead: tuple[int, Phrase] | None) -> dict[int, Phrase]:
    """A phrase for every noun argument, by its number in the frame; no two of them are the speaker, or the hearer."""
    found: dict[int, Phrase] = {}
    for at, argument in enumerate(frame.arguments):
        if argument.pool is None:
            continue
        if lead and lead[0] == OBJECT and not found:
            found[at] = lead[1]
            continue
        negated = plan.negated and not plan.passive and argument.case == "acc" and not argument.preposition
        owner = subject if subject.human and not subject.leads else None
        pronouns = subject.person == 3 and not found and lead is None
        new = someone_or_something(pen, argument.pool, owner=owner, negated=negated, pronouns=pronouns)
        while new.noun is not None and new.noun is subject.noun and not new.light and new.noun.kind in ("kin", "name"):
            new = someone_or_something(pen, argument.pool, owner=owner, negated=negated, pronouns=pronouns)
        found[at] = new if new.light else add_relative(pen, new, 0.28)
    return found


UNMODIFIED = set(words("kin language subject unique"))


def add_relative(pen: Pen, found: Phrase, probability: float) -> Phrase:
    """Perhaps with a relative clause or a participial attribute."""
    noun = found.noun
    if noun is None or noun.proper or found.negation or found.light or noun.kind in UNMODIFIED or not pen.embed(probability):
        return found
    attribute = participial(pen, noun) if pen.chance(0.3) else None
    if attribute:
        return phrase(pen, noun, plain=True, attribute=attribute)
    clause = relative_clause(pen, found, noun)
    if clause is None:
        return found
    german, english, text = clause.subordinate(), clause.statement(), found.english
    return replace(found, relative=(f", {german} ,", english), english=lambda case: f"{text(case)} {english}")


WHOSE = words("kin kin clothes vehicle animal")


def relative_clause(pen: Pen, head: Phrase, noun: Noun) -> Clause | None:
    """A clause about ``head`` with a gap where it stands: as subject, as object, as a place, or as an owner (``dessen``)."""
    draw = pen.rng.random()
    if head.human and draw < 0.12:
        word = leads.whose(pen, head, NOUNS[pen.pick(WHOSE)].draw(pen.rng))
        return event(pen, lead=(SUBJECT if pen.chance(0.5) else OBJECT, word))
    if noun.kind in ("building", "room", "place", "town") and draw < 0.35:
        german, english = noun.preposition
        clause = event(pen, frame=PLACED.draw(pen.rng), placed=True)
        lead = de.preposition(german, de.RELATIVE[head.key, "dat"])
        return replace(clause, lead=(lead, pen.pick(("where", f"{english} which"))))
    role = SUBJECT if pen.chance(0.55) else OBJECT
    if lexicon.frames_with(noun, role) is None:
        role = 1 - role
    if lexicon.frames_with(noun, role) is None:
        return None
    return event(pen, lead=(role, leads.relative_word(pen, head)))


PAST = {"past", "before", "would have", "wish", "unreal", "reported", "reported done"}
AFTER_PAST = words("past past past past past before before before would would")
REPORTING = set(words("say claim admit stress"))


def later_tense(pen: Pen, tense: str) -> str:
    """The tense inside a complement: English shifts it back after a past one."""
    return pen.pick(AFTER_PAST) if tense in PAST else pen.pick(TENSES)


def same_or_new(pen: Pen, subject: Phrase, probability: float = 0.4) -> Phrase | None:
    """The subject again, as a pronoun, or None for somebody else."""
    again = subject.human and not subject.leads and pen.chance(probability)
    return mention(subject) if again else None


def complement(pen: Pen, frame: Frame, plan: Plan, subject: Phrase, arguments: dict[int, Phrase]) -> tuple[str, str]:
    """The clause that a verb asks for: dass, an indirect question, or an infinitive."""
    asked = next((argument for argument in frame.arguments if argument.kind in ("dass", "ob", "zu")), None)
    if asked is None:
        return "", ""
    if asked.kind == "dass":
        return that_clause(pen, frame, plan, subject, arguments)
    if asked.kind == "ob":
        return indirect_question(pen, plan, subject)
    controller = subject if asked.case == "!" or not arguments else next(reversed(arguments.values()))
    gerund = asked.english.startswith("ing")
    german, english = infinitive(pen, controller, "ing" if gerund else "to")
    return german, join(asked.english.removeprefix("ing").strip(), english)


def that_clause(pen: Pen, frame: Frame, plan: Plan, subject: Phrase, arguments: dict[int, Phrase]) -> tuple[str, str]:
    """``dass``; or verb second in subjunctive I.  ``that`` may be left away before a pronoun."""
    again = same_or_new(pen, subject)
    short = again is not None and not arguments
    if frame.english[0] in REPORTING and plan.tense == "past" and not plan.negated and pen.chance(0.25):
        clause = event(pen, subject=again, tense="reported done")
        return f", {clause.main()} ,", join("" if short and pen.chance(0.5) else "that", clause.statement())
    clause = event(pen, subject=again, tense=later_tense(pen, plan.tense))
    return f", {clause.subordinate('dass')} ,", join("" if short and pen.chance(0.4) else "that", clause.statement())


def indirect_question(pen: Pen, plan: Plan, subject: Phrase) -> tuple[str, str]:
    tense = later_tense(pen, plan.tense)
    if pen.chance(0.4):
        clause = event(pen, subject=same_or_new(pen, subject), tense=tense)
        return f", {clause.subordinate('ob')} ,", f"{pen.pick(('whether', 'if'))} {clause.statement()}"
    clause = asking(pen, tense)
    return f", {clause.subordinate()} ,", clause.statement()


QUESTIONS = rows("warum why|warum why|wann when|wo where|wie how")
THINGS, PERSONS = lexicon.pool("object food doc work"), lexicon.pool("person")


def asking(pen: Pen, tense: str) -> Clause:
    """A clause with a question word in front: an adverb, who, what or which."""
    draw = pen.rng.random()
    if draw < 0.5:
        german, english = pen.pick(QUESTIONS)
        clause = event(pen, tense=tense, frame=PLACED.draw(pen.rng), placed=True, terse=True)
        return replace(clause, lead=(german, english))
    if draw < 0.72:
        return event(pen, tense=tense, lead=(SUBJECT if pen.chance(0.5) else OBJECT, leads.who()))
    if draw < 0.86:
        return event(pen, tense=tense, lead=(OBJECT, leads.what(THINGS.draw(pen.rng))))
    noun = pen.pick((THINGS, PERSONS)).draw(pen.rng)
    role = SUBJECT if noun.kind == "person" and pen.chance(0.5) else OBJECT
    return event(pen, tense=tense, lead=(role, leads.which(pen, noun)))


def infinitive(pen: Pen, controller: Phrase, form: str = "to") -> tuple[str, str]:
    """``, das buch zu lesen ,`` and ``to read the book`` (or ``reading``)."""
    controller = controller if controller.light else mention(controller)
    clause = event(pen, subject=controller, tense="habit", bare=True, terse=True)
    return f", {clause.german_zu()} ,", clause.english_infinitive(form)
