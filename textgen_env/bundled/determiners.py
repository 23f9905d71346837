"""Articles, possessives, quantifiers and numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textgen_env.bundled import english as en
from textgen_env.bundled import german as de
from textgen_env.bundled.phrases import PERSONAL_ENGLISH, PERSONAL_GERMAN, Pen, Phrase
from textgen_env.bundled.records import Ranked
from textgen_env.bundled.tables import entries, synonyms


@dataclass(slots=True)
class Determiner:
    german: Callable[[str, str], str]  # of gender and case
    english: str  # "a" stands for a or an
    inflection: str  # of the adjective after it
    many: bool = False
    indefinite: bool = False
    negation: str = ""
    after: str = ""  # a German genitive, or von-phrase, after the noun
    of: str = ""  # an English one


def definite(gender: str, case: str) -> str:
    return de.DEFINITE[gender, case]


def nothing(gender: str, case: str) -> str:
    return ""


def der(stem: str) -> Callable[[str, str], str]:
    return lambda gender, case: de.der_word(stem, gender, case)


def ein(stem: str) -> Callable[[str, str], str]:
    return lambda gender, case: de.ein_word(stem, gender, case)


def fixed(word: str) -> Callable[[str, str], str]:
    return lambda gender, case: word


def most(gender: str, case: str) -> str:
    return f"{definite(gender, case)} {de.adjective('meist', 'weak', gender, case)}"


def possessive(owner: Phrase, many: bool) -> Determiner:
    return Determiner(ein(PERSONAL_GERMAN[owner.key]["poss"]), PERSONAL_ENGLISH[owner.pronoun]["poss"], "mixed", many)


# German stem, inflection of an adjective after it = English
QUANTIFIERS = Ranked(
    [
        (stem, inflection, synonyms(right))
        for _, left, right in entries("""
viel strong = many / a lot of | einig strong = some | all weak = all the / all | wenig strong = few | mehrer strong = several
ein paar strong = a few | beid weak = both | die meist weak = most
""")
        for stem, _, inflection in [left.rpartition(" ")]
    ],
    1.5,
)
AMOUNTS = [
    (left, synonyms(right))
    for _, left, right in entries("""
viel = a lot of | etwas = some / a little | genug = enough | wenig = little | mehr = more
""")
]


def amount(pen: Pen) -> Determiner:
    """``viel``, ``etwas`` …, of what is not counted."""
    word, translations = pen.pick(AMOUNTS)
    return Determiner(fixed(word), pen.synonym(translations), "strong", indefinite=True)


def number(pen: Pen) -> Determiner:
    """Mostly a small one, in words."""
    count = 2 + int(pen.rng.expovariate(0.25)) if pen.chance(0.85) else pen.rng.randrange(13, 1000)
    return Determiner(fixed(de.cardinal(count)), en.cardinal(count), "strong", many=True, indefinite=True)


def quantifier(pen: Pen) -> Determiner:
    """``viele``, ``alle``, ``ein paar``, ``die meisten`` … and a plural."""
    stem, inflection, translations = QUANTIFIERS.draw(pen.rng)
    if stem == "ein paar":
        german = fixed(stem)
    elif stem == "die meist":
        german = most
    else:
        german = der(stem)
    return Determiner(german, pen.synonym(translations), inflection, many=True, indefinite=inflection == "strong")


def none(pen: Pen, many: bool, countable: bool) -> Determiner:
    """``kein``: English says ``no book``, or negates the verb and says ``a book``, ``any books``."""
    denied = pen.pick(("no", "any"))
    word = denied if many or not countable or denied == "no" else "a"
    return Determiner(ein("kein"), word, "mixed", many, indefinite=True, negation=denied)


def this(noun_is_plural: bool, many: bool) -> Determiner:
    return Determiner(der("dies"), "these" if noun_is_plural else "this", "weak", many)
