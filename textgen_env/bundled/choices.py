"""What a clause is about, chosen before its phrases: frame, tense, modal, voice, polarity, adverbials."""

from __future__ import annotations

from textgen_env.bundled import adverbials, lexicon
from textgen_env.bundled.clauses import (
    ATTITUDE,
    COMPLEMENT,
    FRONT,
    GOAL,
    HOW,
    MANNER,
    MIDDLE,
    NOT,
    OBLIQUE,
    PLACE,
    TIME,
    WHEN,
    WHERE,
    Part,
)
from textgen_env.bundled.phrases import Pen, Phrase
from textgen_env.bundled.predicates import Plan
from textgen_env.bundled.records import Frame, Ranked
from textgen_env.bundled.tables import words

SUBJECT, OBJECT = 0, 1  # the roles of a relative or question word
PLAIN = Ranked([frame for frame in lexicon.FRAMES if not frame.clausal], 25)
CLAUSAL = Ranked([frame for frame in lexicon.FRAMES if frame.clausal], 8)
TENSES = words("past past past past past past past past past habit habit habit habit habit now now soon soon done done since")
NEVER_FIRST = set(words("immer selten wohl wirklich"))


def choose_frame(pen: Pen, subject: Phrase | None, lead: tuple[int, Phrase] | None, bare: bool = False) -> Frame:
    """A frame that takes the given subject or relative word, which must exist; one with a clause only if the budget allows.

    ``bare`` asks for something that the subject can do, in an infinitive or a command.
    """
    role, given = lead or (SUBJECT, subject)
    if given is None:
        return CLAUSAL.draw(pen.rng) if pen.embed(0.35) else PLAIN.draw(pen.rng)
    ranked = lexicon.frames_with(given.noun, role)
    assert ranked is not None
    for _ in range(9):
        frame = ranked.draw(pen.rng)
        if (active(frame) or not bare) and (not frame.clausal or pen.embed(0.6)):
            return frame
    return next(frame for frame in ranked.items if not frame.clausal and (active(frame) or not bare))


def active(frame: Frame) -> bool:
    return not (frame.stative or frame.swapped or frame.predicate)


MODALS = words("können können müssen müssen wollen dürfen sollen möchten")
MODAL_TENSES = set(words("habit past soon would reported unreal"))
UNIVERSAL = ("jed", "all", "beid")  # not denied: "every" and "not" would have to agree on their scope


def make_plan(pen: Pen, frame: Frame, subject: Phrase, tense: str = "", bare: bool = False, terse: bool = False) -> Plan:
    """Tense, modal, voice and polarity that suit the frame and its subject."""
    tense = tense or pen.pick(TENSES)
    if (tense == "since" and not frame.lasting) or (tense == "done" and frame.lasting):
        tense = "past"
    if tense == "now" and (frame.stative or terse):
        tense = "habit"
    passive = frame.passive and not bare and pen.chance(0.17)
    modal = "" if bare or frame.stative or tense not in MODAL_TENSES else make_modal(pen, subject, tense, passive)
    negated = tense not in ("now", "since") and not terse and not subject.german("nom").startswith(UNIVERSAL)
    gladly = tense == "habit" and not (modal or passive or bare or frame.stative or frame.sein) and subject.human
    return Plan(
        tense,
        modal,
        negated=negated and pen.chance(0.12),
        passive=passive,
        perfect=pen.chance(0.9 if subject.person == 2 else 0.45) and frame.verb not in ("sein", "haben"),
        future=pen.chance(0.5),
        gladly=gladly and pen.chance(0.08),
    )


def make_modal(pen: Pen, subject: Phrase, tense: str, passive: bool) -> str:
    """None mostly; what is wanted, or supposed to be, only where both languages say it simply."""
    if passive:
        return pen.pick(("können", "müssen")) if pen.chance(0.2) else ""
    modal = pen.pick(MODALS) if subject.human and pen.chance(0.24) else ""
    return (
        "müssen"
        if (modal in ("möchten", "wollen") and tense not in ("habit", "past")) or (modal, tense) == ("sollen", "past")
        else modal
    )


TIMELY = {"past": 0.5, "habit": 0.35, "now": 1.0, "soon": 0.85, "done": 1.0, "since": 1.0, "before": 0.1}


def add_adverbials(pen: Pen, frame: Frame, plan: Plan, subject: Phrase, main: bool, placed: bool) -> list[Part]:
    """Time, attitude, manner and place, where they make sense; perhaps one of them before the verb."""
    found: list[Part] = []
    timeless = (frame.lasting and plan.tense == "habit") or (frame.stative and plan.tense in ("habit", "past", "soon"))
    if pen.chance(TIMELY.get(plan.tense, 0)) and not timeless and not (plan.negated and plan.tense == "done"):
        adverb = adverbials.time(pen, plan.tense)
        if adverb is not None and not (plan.negated and adverb.place == "mid"):
            slot = {"mid": MIDDLE, "front": FRONT if main else WHEN}.get(adverb.place, WHEN)
            late = plan.tense == "done"  # hat das buch schon gelesen
            movable = not late and adverb.german not in NEVER_FIRST
            found.append(Part(adverb.german, pen.synonym(adverb.english), NOT if late else TIME, slot, movable=movable))
    if main and not plan.negated and pen.chance(0.07) and not any(part.slot in (MIDDLE, FRONT) for part in found):
        adverb = lexicon.ATTITUDES.draw(pen.rng)
        slot = FRONT if adverb.place == "front" else MIDDLE
        movable = adverb.german not in NEVER_FIRST
        found.append(Part(adverb.german, pen.synonym(adverb.english), ATTITUDE, slot, movable=movable))
    doing = subject.human and not frame.stative and not frame.lasting and not frame.predicate and not frame.swapped
    if doing and not plan.gladly and not plan.negated and pen.chance(0.1):
        adverb = lexicon.MANNERS.draw(pen.rng)
        if adverb.english[0] != "together" or subject.many:
            found.append(Part(adverb.german, adverb.english[0], MANNER, HOW))
    local = placed or any(argument.kind in ("dir", "loc") for argument in frame.arguments)
    if doing and not local and not frame.clausal and pen.chance(0.12):
        found.append(Part(*adverbials.place(pen), PLACE, WHERE, movable=True))
    candidates = [part for part in found if part.movable]
    if main and candidates and pen.chance(0.5):
        first = pen.pick(candidates)
        first.fronted = True
        if first.slot in (WHEN, WHERE) and pen.chance(0.45) and not any(part.slot == FRONT for part in found):
            first.slot = FRONT
    return found


def lighten(parts: list[Part], plan: Plan, main: bool) -> list[Part]:
    """Keep adverbials from trailing behind an English relative clause: to the front, or away unless the tense needs them."""
    if not main:
        return parts if plan.tense in ("now", "since", "done") else [part for part in parts if part.slot == MIDDLE]
    last = [part for part in parts if part.slot == WHEN]
    if last and not any(part.slot == FRONT for part in parts):
        last[0].slot = FRONT
    return [part for part in parts if part.slot in (MIDDLE, FRONT)]


def local_parts(pen: Pen, frame: Frame, subject: Phrase) -> list[Part]:
    """The place or the direction that the frame asks for."""
    found = []
    for argument in frame.arguments:
        if argument.kind == "loc":
            found.append(Part(*adverbials.place(pen, subject.human), OBLIQUE, COMPLEMENT, movable=True))
        elif argument.kind == "dir":
            found.append(Part(*adverbials.direction(pen, argument.english == "near"), GOAL, COMPLEMENT))
    return found
