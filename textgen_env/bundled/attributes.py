"""Participles before a German noun, which English says behind it."""

from __future__ import annotations

from textgen_env.bundled import adverbials, lexicon
from textgen_env.bundled import conjugation as verbs
from textgen_env.bundled import english as en
from textgen_env.bundled import german as de
from textgen_env.bundled.choices import OBJECT, SUBJECT
from textgen_env.bundled.nominals import Adjective, someone_or_something
from textgen_env.bundled.phrases import Pen
from textgen_env.bundled.records import Frame, Noun
from textgen_env.bundled.tables import join


def participial(pen: Pen, noun: Noun) -> Adjective | None:
    """``gestern verkauft`` before the German noun, ``sold yesterday`` after the English one; ``im garten schlafend``."""
    active = pen.chance(0.35)
    ranked = lexicon.frames_with(noun, SUBJECT if active else OBJECT)
    frames = [frame for frame in ranked.items if fits_attribute(frame, active)] if ranked else []
    if not frames:
        return None
    frame = pen.pick(frames)
    verb, *after = frame.english[0].split()
    if active:
        german, english = adverbials.place(pen)
        return f"{german} {verbs.infinitive(frame.verb)}d", "", join(en.form(verb, "ing"), *after, english)
    if frame.subject is not None and pen.chance(0.5):
        agent = someone_or_something(pen, frame.subject, pronouns=False)
        german, english = de.preposition("von", agent.german("dat")), f"by {agent.english('acc')}"
    else:
        adverb = adverbials.time(pen, "past")
        if adverb is None or adverb.place != "end":
            return None  # "the book sold" alone would be a sentence
        german, english = adverb.german, adverb.english[0]
    return join(german, verbs.participle(frame.verb)), "", join(en.form(verb, "part"), *after, english)


def fits_attribute(frame: Frame, active: bool) -> bool:
    if active:
        return frame.lasting and not frame.reflexive and not frame.predicate and [a.kind for a in frame.arguments] == ["loc"]
    return frame.passive and len(frame.arguments) == 1
