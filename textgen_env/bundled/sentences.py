"""Whole sentences: statements, questions, commands, speech."""

from __future__ import annotations

from collections.abc import Callable

from textgen_env.bundled import conjugation as de
from textgen_env.bundled import lexicon
from textgen_env.bundled.descriptions import PERSONS
from textgen_env.bundled.events import asking, event
from textgen_env.bundled.lexicon import NOUNS
from textgen_env.bundled.nominals import someone_or_something
from textgen_env.bundled.phrases import Pen, personal
from textgen_env.bundled.predicates import Plan
from textgen_env.bundled.statements import Pair, doing, statement
from textgen_env.bundled.tables import entries, join, rows


def question(pen: Pen) -> Pair:
    """Yes or no, or with a question word."""
    tense = pen.pick(("past", "past", "habit", "soon", "done"))
    if pen.chance(0.45):
        clause = event(pen, tense=tense)
        return f"{clause.question()} ?", f"{clause.asked()} ?"
    clause = asking(pen, tense)
    return f"{clause.main()} ?", f"{clause.asked()} ?"


ADDRESSED = {"du": personal("2s", "you"), "ihr": personal("2p", "you"), "sie": personal("2p", "you")}


def command(pen: Pen) -> Pair:
    """``öffne bitte das fenster !``; du, ihr and the polite sie."""
    addressee = pen.pick(("du", "du", "ihr", "sie", "sie"))
    subject = ADDRESSED[addressee]
    frame = doing(pen, subject)
    while frame.reflexive:
        frame = doing(pen, subject)
    clause = event(pen, subject=subject, frame=frame, plan=Plan("habit", negated=pen.chance(0.12)), terse=True)
    please = pen.chance(0.4)
    german = join(de.imperative(frame.verb, addressee), "bitte" if please else "", clause.middle(clause.german_verbs.particle))
    english = clause.english_infinitive("base")
    if clause.negation:
        english = f"do not {english.removeprefix('not ')}"
    name = NOUNS["name"].draw(pen.rng).german if addressee == "du" and pen.chance(0.35) else ""
    end = "." if please else pen.pick("!.")
    calling = (name, ",") if name else ()
    return join(*calling, german, end), join(*calling, "please" if please else "", english, end)


SAYING = rows("sagen said|sagen said|sagen said|antworten answered|rufen shouted|flüstern whispered|murmeln murmured")


def speech(pen: Pen) -> Pair:
    """Direct speech, after its speaker or before."""
    asked = pen.chance(0.35)
    german, english = question(pen) if asked else statement(pen)
    german = german.rstrip(" ,")
    who = someone_or_something(pen, PERSONS, subject=True)
    verb, said = ("fragen", "asked") if asked else pen.pick(SAYING)
    sagte, speaker, er = de.finite(verb, "past", who.person, who.many), who.english("nom"), who.german("nom")
    if pen.chance(0.3):
        stop = "" if asked else " ."
        return f'{er} {sagte} : " {german}{stop} "', f'{speaker} {said} : " {english}{stop} "'
    inverted = not who.light and pen.chance(0.4)
    tag = f"{said} {speaker}" if inverted else f"{speaker} {said}"
    return f'" {german} " , {sagte} {er} .', f'" {english} {"" if asked else ","} " {tag} .'


CALLS = [(left, right) for _, left, right in entries("""
guten morgen = good morning | guten abend = good evening | auf wiedersehen = goodbye | vielen dank = thank you very much
herzlichen glückwunsch = congratulations | gute nacht = good night | willkommen = welcome | viel glück = good luck
bis morgen = see you tomorrow | komm her = come here | pass auf = look out | keine angst = don 't be afraid
""")]  # fmt: skip
TITLES = rows("herr mr.|frau mrs.")


def exclamation(pen: Pen) -> Pair:
    """Short ones: greetings, thanks, calls; the last four are for friends."""
    formal, end = pen.chance(0.3), pen.pick("!.")
    german, english = pen.pick(CALLS[:-4] if formal else CALLS)
    name = lexicon.SURNAMES.draw(pen.rng) if formal else NOUNS["name"].draw(pen.rng).german
    title, translation = pen.pick(TITLES) if formal else ("", "")
    return join(german, ",", title, name, end), join(english, ",", translation, name, end)


def declared(pen: Pen) -> Pair:
    german, english = statement(pen)
    return f"{german} .", f"{english} ."


KINDS: list[Callable[[Pen], Pair]] = [
    *[declared] * 75, *[question] * 10, *[speech] * 7, *[command] * 5, *[exclamation] * 2,
]  # fmt: skip
BUDGETS = [budget for budget, share in enumerate((22, 22, 20, 15, 11, 6, 0, 5)) for _ in range(share)]


def sentence(pen: Pen) -> Pair:
    """One sentence and its translation, tokens separated by spaces."""
    pen.budget = pen.pick(BUDGETS)
    german, english = pen.pick(KINDS)(pen)
    return tidy(german), tidy(english)


CLOSING, OPENING = set(",.?!:"), set(",:")


def tidy(text: str) -> str:
    """Every clause brings its commas; where two meet, or one meets a stronger mark, one is left."""
    said: list[str] = []
    for word in text.split():
        if word in CLOSING and said and said[-1] == ",":
            said.pop()
        if word != "," or (said and said[-1] not in OPENING):
            said.append(word)
    return " ".join(said)
