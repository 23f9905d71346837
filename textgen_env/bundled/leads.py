"""Phrases that stand first in their clause and leave a gap: relative pronouns, question words."""

from __future__ import annotations

from dataclasses import replace

from textgen_env.bundled import german as de
from textgen_env.bundled.determiners import Determiner, der
from textgen_env.bundled.nominals import phrase
from textgen_env.bundled.phrases import Pen, Phrase
from textgen_env.bundled.records import Noun
from textgen_env.bundled.tables import words


def relative_word(pen: Pen, head: Phrase) -> Phrase:
    """``der``, ``den``, ``dem`` … and who, which, that or nothing."""
    gender = head.key
    object_words = words("who that whom" if head.human else "that which")
    if " of " not in head.english("acc"):  # else English would lack a word that says where the clause belongs
        object_words.append("")
    leads = (pen.pick(("who", "who", "that") if head.human else ("that", "which")), pen.pick(object_words))
    return replace(
        head,
        german=lambda case: de.RELATIVE[gender, case],
        english=lambda case: "",
        leads=leads,
        relative=("", ""),
        light=False,
    )


def whose(pen: Pen, head: Phrase, thing: Noun) -> Phrase:
    """``dessen bruder``, ``deren alter hut``."""
    dessen = de.RELATIVE[head.key, "gen"]
    return leading(phrase(pen, thing, det=Determiner(lambda gender, case: dessen, "whose", "strong")))


def which(pen: Pen, noun: Noun) -> Phrase:
    """``welcher lehrer``, ``welches buch``."""
    return leading(phrase(pen, noun, det=Determiner(der("welch"), "which", "weak")))


def leading(found: Phrase) -> Phrase:
    return replace(found, leads=(found.english("nom"), found.english("acc")))


def who() -> Phrase:
    """``wer``, ``wen``, ``wem``."""
    forms = {"nom": "wer", "acc": "wen", "dat": "wem"}
    return Phrase(lambda case: forms[case], lambda case: "", "m", "he", light=True, leads=("who", "who"))


def what(noun: Noun) -> Phrase:
    """``was``, of a thing of the kind of ``noun``; after a preposition ``worauf``."""
    return Phrase(lambda case: "was", lambda case: "", "n", "it", noun, light=True, leads=("what", "what"))
