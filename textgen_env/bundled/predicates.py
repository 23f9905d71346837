"""Verb groups as chains of verbs, each governing the form of the next: future > modal > passive > verb.

English says the chain from left to right; German puts its first verb second (or last) and says the rest from right to left:
``will | be able to | be | repaired`` and ``wird | repariert | werden | können``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from textgen_env.bundled import conjugation as de
from textgen_env.bundled import english as en
from textgen_env.bundled.phrases import Pen, Phrase
from textgen_env.bundled.records import Frame
from textgen_env.bundled.tables import join, words

Link = tuple[str, str, str]  # a verb, words right after it, the form that it asks of the next
Chain = tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is said of the event.

    tense: habit, now, soon, past, done (present perfect), since, before (pluperfect), would, would have, unreal (after wenn),
    wish (unreal past), reported and reported done (subjunctive I).  ``perfect`` chooses haben or sein + participle for the
    German past, ``future`` werden for what is soon.
    """

    tense: str = "past"
    modal: str = ""
    negated: bool = False
    passive: bool = False
    perfect: bool = False
    future: bool = False
    gladly: bool = False  # gern


GERMAN_TENSE = {
    **dict.fromkeys(("habit", "now", "soon", "since", "done"), "present"),
    **dict.fromkeys(("past", "before"), "past"),
    **dict.fromkeys(("would", "would have", "unreal", "wish"), "subjunctive"),
    **dict.fromkeys(("reported", "reported done"), "reported"),
}
PERFECT = {"done", "before", "would have", "wish", "reported done"}


def german_chain(frame: Frame, plan: Plan, passive: bool) -> tuple[str, list[Link]]:
    """The finite verb's tense and the chain."""
    chain: list[Link] = [("werden", "", "part"), (frame.verb, "", "")] if passive else [(frame.verb, "", "")]
    tense = GERMAN_TENSE[plan.tense]
    if plan.modal:
        chain.insert(0, (plan.modal, "", "inf"))
    elif plan.tense in PERFECT or (plan.tense == "past" and plan.perfect):
        chain.insert(0, ("sein" if passive or frame.sein else "haben", "", "part"))
        tense = "present" if plan.tense == "past" else tense
    if (plan.tense == "soon" and plan.future) or (tense in ("subjunctive", "reported") and chain[0][0] not in de.SUBJUNCTIVE):
        chain.insert(0, ("werden", "", "inf"))
    return tense, chain


@dataclass(frozen=True, slots=True)
class GermanVerbs:
    finite: str
    particle: str  # the separable prefix of the finite verb
    rest: str  # the other verbs, as they close the clause
    early: bool = False

    @property
    def main(self) -> str:
        """What closes a main clause."""
        return self.rest or self.particle

    @property
    def last(self) -> str:
        """What closes a subordinate clause; ``wird`` steps before two infinitives of which one is a modal's."""
        if self.early:
            return f"{self.finite} {self.rest}"
        return f"{self.rest} {self.finite}" if self.rest else self.particle + self.finite


def german_rest(chain: list[Link]) -> str:
    said = []
    for (_, _, governs), (verb, _, _) in pairwise(chain):
        if governs == "part":
            said.append("worden" if verb == "werden" and verb != chain[-1][0] else de.participle(verb))
        else:
            said.append(de.infinitive(verb))
    return " ".join(reversed(said))


def german_verbs(frame: Frame, plan: Plan, passive: bool, subject: Phrase) -> GermanVerbs:
    tense, chain = german_chain(frame, plan, passive)
    finite = de.finite(chain[0][0], tense, subject.person, subject.many)
    early = len(chain) > 2 and chain[0][0] == "werden" and chain[1][0] in MODALS
    return GermanVerbs(finite, de.parts(chain[0][0])[0], german_rest(chain), early)


def german_infinitive(frame: Frame, plan: Plan) -> str:
    """``aufzugeben``, ``aufgegeben zu haben``, ``gesehen zu werden``."""
    _, chain = german_chain(frame, replace(plan, future=False), plan.passive)
    rest, zu = german_rest(chain), de.infinitive(chain[0][0], zu=True)
    return f"{rest} {zu}" if rest else zu


# German modal: English in the present, in the past, and after another verb
CAN, MAY, MUST, SHOULD = (((word, "", "base"),) for word in words("can may must should"))
ABLE, ALLOWED, SUPPOSED = ((("be", word, "to"),) for word in words("able allowed supposed"))
HAVE_TO, WANT = (("have", "", "to"),), (("want", "", "to"),)
WOULD_LIKE = (("would", "", "base"), ("like", "", "to"))
MODALS: dict[str, tuple[list[Chain], list[Chain], Chain]] = {
    "können": ([CAN, ABLE], [CAN, ABLE], ABLE),
    "müssen": ([HAVE_TO, MUST], [HAVE_TO], HAVE_TO),
    "dürfen": ([ALLOWED, MAY], [ALLOWED], ALLOWED),
    "sollen": ([SHOULD, SUPPOSED], [SUPPOSED], SUPPOSED),
    "wollen": ([WANT], [WANT], WANT),
    "möchten": ([WOULD_LIKE], [WANT], WANT),
}
WILL, WOULD, HAVE = ("will", "", "base"), ("would", "", "base"), ("have", "", "part")
BEFORE_VERB: dict[str, Chain] = {
    "soon": (WILL,),
    "would": (WOULD,),
    "would have": (WOULD, HAVE),
    **dict.fromkeys(("done", "since", "before", "wish", "reported done"), (HAVE,)),
}
ENGLISH_PAST = {"past", "before", "unreal", "wish", "reported", "reported done"}
AUXILIARIES = set(words("be will would can could may might must should"))


@dataclass(frozen=True, slots=True)
class EnglishVerbs:
    """``auxiliary`` is empty when questions and negation need ``do``, whose right form is ``do``; ``verb`` is then finite."""

    auxiliary: str
    verb: str
    do: str
    base: str
    rest: str

    def statement(self, negation: str, middle: str) -> str:
        """The verbs with ``not`` and the adverbs that stand among them."""
        if self.auxiliary:
            return join(negate(self.auxiliary, negation), middle, self.rest)
        if negation:
            return join(negate(self.do, negation), middle, self.base, self.rest)
        return join(middle, self.verb, self.rest)

    def question(self, subject: str, negation: str, middle: str) -> str:
        """Subject and auxiliary exchange their places."""
        if self.auxiliary:
            return join(self.auxiliary, subject, negation, middle, self.rest)
        return join(self.do, subject, negation, middle, self.base, self.rest)


CONTRACTED = {"can": "can 't", "will": "won 't", "may": "may not", "might": "might not", "am": "am not"}


def negate(auxiliary: str, negation: str) -> str:
    """``negation`` is empty, ``not``, or ``n't`` for the short form."""
    if negation == "n't":
        return CONTRACTED.get(auxiliary) or f"{auxiliary}n 't"
    if negation == "not" and auxiliary == "can":
        return "cannot"
    return join(auxiliary, negation)


def english_chain(pen: Pen, frame: Frame, plan: Plan, passive: bool) -> list[Link]:
    verb, *after = pen.synonym(frame.english).split()
    chain: list[Link] = [(verb, " ".join(after), "")]
    if passive:
        chain.insert(0, ("be", "", "part"))
    if (
        not frame.stative
        and not plan.modal
        and ((plan.tense == "now") or (plan.tense == "since" and not passive and frame.lasting))
    ):
        chain.insert(0, ("be", "", "ing"))
    if plan.gladly:
        chain.insert(0, ("like", "", "to" if pen.chance(0.4) else "ing"))
    if plan.modal:
        present, past, other = MODALS[plan.modal]
        usual = past if plan.tense in ENGLISH_PAST else present
        if plan.tense in ("soon", "would"):
            chain = [*other, *chain]
        elif plan.negated:  # must not is not muss nicht
            chain = [*(other if plan.modal in ("müssen", "dürfen") else usual[0]), *chain]
        else:
            chain = [*(usual[0] if pen.chance(0.75) else pen.pick(usual)), *chain]
    return [*BEFORE_VERB.get(plan.tense, ()), *chain]


def english_rest(chain: list[Link]) -> str:
    said = [chain[0][1]]
    for (_, _, governs), (verb, after, _) in pairwise(chain):
        said += (en.form(verb, governs), after)
    return join(*said)


def english_verbs(chain: list[Link], plan: Plan, subject: Phrase) -> EnglishVerbs:
    verb, _, governs = chain[0]
    tense = "past" if plan.tense in ENGLISH_PAST else "present"
    person, many = subject.person, subject.plural
    finite = en.form(verb, tense, person, many) if not (verb == "be" and plan.tense == "unreal") else "were"
    is_auxiliary = verb in AUXILIARIES or (verb == "have" and governs == "part")
    return EnglishVerbs(finite if is_auxiliary else "", finite, en.form("do", tense, person, many), verb, english_rest(chain))


def english_infinitive(chain: list[Link], kind: str) -> str:
    """``kind`` is to, base or ing."""
    return join(en.form(chain[0][0], kind), english_rest(chain))
