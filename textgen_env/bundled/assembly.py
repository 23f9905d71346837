"""From a frame, a plan and its phrases to a clause: every phrase gets its function and its place, on either side."""

from __future__ import annotations

from dataclasses import dataclass, replace

from textgen_env.bundled import german as de
from textgen_env.bundled.clauses import (
    ACCUSATIVE,
    AFTER_OBJECT,
    AGENT,
    COMPLEMENT,
    DATIVE,
    DATIVE_PRONOUN,
    FIRST,
    GOAL,
    HOW,
    INDEFINITE,
    MANNER,
    NOT,
    OBJECT,
    OBLIQUE,
    PREDICATE,
    PRONOUN,
    REFLEXIVE,
    WHEN,
    Clause,
    Part,
)  # fmt: skip
from textgen_env.bundled.phrases import PERSONAL_ENGLISH, Pen, Phrase, reflexive
from textgen_env.bundled.predicates import Link, Plan, english_chain, english_verbs, german_verbs
from textgen_env.bundled.records import Frame
from textgen_env.bundled.tables import join, rows

MAN = Phrase(lambda case: "man", lambda case: "", "m", "one")  # German only: English says a passive without an agent


@dataclass(frozen=True, slots=True)
class Role:
    """What a phrase does.  Case nom is the German subject; ``english`` is subject, object, first (of two) or a preposition."""

    phrase: Phrase
    preposition: str
    case: str
    english: str


def roles(pen: Pen, frame: Frame, plan: Plan, subject: Phrase, arguments: dict[int, Phrase], lead: Phrase | None) -> list[Role]:
    """Active, passive, or a German subject that English makes an object; the two sides need not agree."""
    passive = plan.passive or subject is MAN
    found = []
    for at, phrase in arguments.items():
        argument = frame.arguments[at]
        function = argument.english
        if function == "(to)":
            function = "to" if passive or stands_late(pen, phrase, arguments, lead) else "first"
        elif function in ("", "(0)"):
            function = "first" if argument.case == "dat" and not argument.preposition else "object"
        found.append(Role(phrase, argument.preposition, argument.case, function))
    if frame.swapped:
        return [replace(found[0], english="subject"), *found[1:], Role(subject, "", "nom", "object")]
    if not passive:
        return [Role(subject, "", "nom", "subject"), *found]
    patient = next(role for role in found if role.case == "acc" and not role.preposition)
    rest = [role for role in found if role is not patient]
    if subject is MAN:
        return [Role(subject, "", "nom", ""), replace(patient, english="subject"), *rest]
    if subject is not lead and pen.chance(0.5):
        return [replace(patient, case="nom", english="subject"), *rest]
    if subject is not lead and pen.chance(0.15):  # a German passive may become an English active
        return [replace(patient, case="nom"), Role(subject, "von", "dat", "subject"), *rest]
    return [replace(patient, case="nom", english="subject"), Role(subject, "von", "dat", "by"), *rest]


def stands_late(pen: Pen, receiver: Phrase, arguments: dict[int, Phrase], lead: Phrase | None) -> bool:
    """``give it to him`` rather than ``give him the book``: behind a pronoun, and what is long goes last."""
    others = [phrase for phrase in arguments.values() if phrase is not receiver]
    if lead in arguments.values() or receiver.relative[0] or any(phrase.light for phrase in others):
        return True
    return not any(phrase.relative[0] for phrase in others) and pen.chance(0.4)


def german_text(role: Role) -> str:
    """The phrase in its case; ``auf`` + it is ``darauf``, ``auf`` + what ``worauf``."""
    phrase = role.phrase
    if not role.preposition:
        return phrase.german(role.case)
    if phrase.light and phrase.person == 3 and not phrase.human:
        return de.pronominal(role.preposition, "wo" if phrase.leads else "da")
    return de.preposition(role.preposition, phrase.german(role.case))


ENGLISH_SLOT = {"first": FIRST, "object": OBJECT, "to": AFTER_OBJECT}


def constituent(role: Role) -> Part:
    """The part that a phrase is when it is no subject in German."""
    phrase = role.phrase
    if role.preposition:
        place = AGENT if role.preposition == "von" and role.english in ("by", "subject") else OBLIQUE
    elif role.case == "acc":
        place = PRONOUN if phrase.light else INDEFINITE if phrase.indefinite else ACCUSATIVE
    else:
        place = DATIVE_PRONOUN if phrase.light else DATIVE
    movable = not phrase.light and not phrase.negation
    return Part(
        german_text(role), english_text(role), place, ENGLISH_SLOT.get(role.english, COMPLEMENT), phrase.relative[0], movable
    )


def english_text(role: Role) -> str:
    if role.english in ("", "subject"):
        return ""
    preposition = "" if role.english in ("object", "first") else role.english
    return join(preposition, role.phrase.english("acc"))


def assemble(
    pen: Pen, frame: Frame, plan: Plan, subject: Phrase, arguments: dict[int, Phrase], *, lead: Phrase | None = None,
    parts: list[Part] | None = None, tail: tuple[str, str] = ("", ""), there: Phrase | None = None,
) -> Clause:  # fmt: skip
    """The clause.  ``lead`` is the phrase that stands first in it; ``there`` replaces the English subject (``there is``)."""
    parts = list(parts or [])
    leading: tuple[str, str] | None = None
    german_subject, english_subject = subject, there or subject
    for role in roles(pen, frame, plan, subject, arguments, lead):
        if role.case == "nom":
            german_subject = role.phrase
        if role.english == "subject" and there is None:
            english_subject = role.phrase
        if role.phrase is lead:
            assert lead.leads is not None
            leading = (german_text(role), lead.leads[role.english != "subject"])
            if role.english not in ("subject", "object", "first"):
                parts.append(Part("", role.english, OBLIQUE, COMPLEMENT))
        elif role.case == "nom":
            if role.english not in ("", "subject"):
                parts.append(Part("", english_text(role), OBLIQUE, OBJECT))
        else:
            parts.append(constituent(role))
    passive = plan.passive and subject is not MAN
    english_passive = (plan.passive and english_subject is not subject) or subject is MAN
    chain, particle = split_particle(english_chain(pen, frame, plan, english_passive), parts)
    if particle:
        parts.append(Part("", particle, OBLIQUE, AFTER_OBJECT))
    chain = [(verb, reflexive_english(after, english_subject), form) for verb, after, form in chain]
    if frame.reflexive:
        parts.append(Part(reflexive(subject, frame.reflexive), "", REFLEXIVE, HOW))
    if plan.gladly:
        parts.append(Part("gern", "", MANNER, HOW))
    predicate = frame.predicate
    said = ""
    if plan.negated:
        predicate, said = add_negation(plan, predicate, arguments, parts)
    if predicate:
        parts.append(Part(predicate, "", GOAL if frame.verb == "sein" else PREDICATE, HOW))  # auf ihn stolz, but angst vor ihm
    return Clause(
        pen,
        frame,
        replace(plan, passive=passive),
        "" if german_subject is lead else join(german_subject.german("nom"), german_subject.relative[0]),
        "" if english_subject is lead else english_subject.english("nom"),
        german_verbs(frame, plan, passive, german_subject),
        english_verbs(chain, plan, english_subject),
        chain,
        parts,
        leading,
        tail,
        said,
    )


def split_particle(chain: list[Link], parts: list[Part]) -> tuple[list[Link], str]:
    """``give it up``: a particle goes behind an object that is a pronoun."""
    *before, (verb, after, form) = chain
    pronoun = any(part.slot in (FIRST, OBJECT) and part.english in OBJECT_PRONOUNS for part in parts)
    return ([*before, (verb, "", form)], after) if after and pronoun else (chain, "")


OBJECT_PRONOUNS = {forms["acc"] for forms in PERSONAL_ENGLISH.values()}


def reflexive_english(after: str, owner: Phrase) -> str:
    return after.replace("oneself", PERSONAL_ENGLISH[owner.pronoun]["self"]) if "oneself" in after else after


NO_ARTICLE = dict(rows("angst keine|lust keine|hunger keinen|durst keinen|glück kein"))  # kein, before a predicate noun


def add_negation(plan: Plan, predicate: str, arguments: dict[int, Phrase], parts: list[Part]) -> tuple[str, str]:
    """``nicht`` in its place, or ``kein`` that an argument already says.  Returns the predicate and the English negation."""
    yet = "noch " if plan.tense == "done" else ""
    if yet:
        parts.append(Part("", "yet", NOT, WHEN))
    negative = next((phrase for phrase in arguments.values() if phrase.negation), None)
    if negative is not None:
        if yet:
            parts.append(Part("noch", "", NOT, HOW))
        return predicate, "not" if negative.negation == "any" else ""
    if predicate in NO_ARTICLE:
        return f"{yet}{NO_ARTICLE[predicate]} {predicate}", "not"
    parts.append(Part(f"{yet}nicht", "", NOT, HOW))
    return predicate, "not"
