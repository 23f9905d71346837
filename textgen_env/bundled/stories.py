"""The engine of the summarisation corpus: a table's lines, with their slots filled, and what of them is worth telling.

A table has a section a kind of story.  ``say`` is always said, in the table's order; ``aside`` somewhere after the first of
these, or not at all (the asides before the first section suit every kind, anywhere); ``sum`` is a summary.  An indented line
goes on with the one above, `` / `` separates ways to say the same, ``[a|b]`` is a choice inside one.

``{town}`` is a slot: its letters name what fills it (``SLOTS``, or ``filler``, a sentence of the translation grammar), and
``{town2}`` is another one.  Slots that every summary names are the story's facts.  What else the document mentions (``{count}``
injured, before the figure was corrected to ``{count2}``) is a decoy, so that a summary has to select.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from textgen_env.bundled import english, lexicon
from textgen_env.bundled.lexicon import NOUNS
from textgen_env.bundled.phrases import PERSONAL_ENGLISH, Pen
from textgen_env.bundled.records import Noun, Ranked
from textgen_env.bundled.sentences import tidy
from textgen_env.bundled.statements import statement
from textgen_env.bundled.tables import entries, synonyms

CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{([a-z]+)(\d*)[^}]*\}")
ASIDES = (1, 2, 2, 3)  # how many a story gets


@dataclass(frozen=True)
class Story:
    """A document, its right summaries, what all of them say, and what the document says beside."""

    document: str
    summaries: tuple[str, ...]
    facts: tuple[str, ...]
    decoys: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """The lines of one section of a table; a line is its alternatives."""

    say: list[tuple[str, ...]] = field(default_factory=list)
    aside: list[tuple[str, ...]] = field(default_factory=list)
    sum: list[tuple[str, ...]] = field(default_factory=list)


class Person(str):
    """A first name with its pronouns: ``{name.he}``."""

    he: str
    him: str
    his: str

    def __new__(cls, noun: Noun) -> Person:
        person = super().__new__(cls, noun.english[0])
        person.he = noun.pronoun
        person.him, person.his = (PERSONAL_ENGLISH[noun.pronoun][case] for case in ("acc", "poss"))
        return person


def read(table: str) -> tuple[list[Kind], list[tuple[str, ...]]]:
    """The kinds of story in a table, and the asides of its first lines, which stand in no section and suit every kind."""
    kinds: dict[str, Kind] = {}
    for section, what, line in entries(re.sub(r"\n +", " ", table)):
        getattr(kinds.setdefault(section, Kind()), what).append(synonyms(line))
    common = kinds.pop("")
    return list(kinds.values()), common.aside


def tell(pen: Pen, kind: Kind, asides: list[tuple[str, ...]]) -> Story:
    """One story of its kind, with a few asides at random places."""
    lines = [_chosen(pen, pen.pick(line)) for line in kind.say]
    places = [(line, 1) for line in kind.aside] + [(line, 0) for line in asides]
    for line, earliest in pen.rng.sample(places, pen.pick(ASIDES)):
        lines.insert(pen.rng.randint(earliest, len(lines)), _chosen(pen, pen.pick(line)))
    (ways,) = kind.sum
    first = ways.index(pen.synonym(ways))
    sums = [_chosen(pen, way) for way in (*ways[first:], *ways[:first])]
    told = list(dict.fromkeys(slot for line in sums for slot in _slots(line)))
    seen = list(dict.fromkeys(slot for line in lines for slot in _slots(line)))
    values = _filled(pen, dict.fromkeys((*seen, *told)))
    facts = [slot for slot in told if all(slot in _slots(line) for line in sums)]
    return Story(
        " ".join(_written(line, values) for line in lines),
        tuple(_written(line, values) for line in sums),
        tuple(values[slot] for slot in facts),
        tuple(values[slot] for slot in seen if slot not in told and not slot.startswith("filler")),
    )


def _chosen(pen: Pen, line: str) -> str:
    """``line`` with its choices made."""
    return CHOICE.sub(lambda match: pen.pick(match[1].split("|")), line)


def _slots(line: str) -> list[str]:
    return [name + number for name, number in SLOT.findall(line)]


def _filled(pen: Pen, slots: Iterable[str]) -> dict[str, str]:
    """A value a slot; no two share a word."""
    values: dict[str, str] = {}
    used: set[str] = set()
    for slot in slots:
        if slot.startswith("filler"):
            pen.budget = 0
            values[slot] = tidy(statement(pen)[1])
            continue
        value = SLOTS[slot.rstrip("0123456789")](pen.rng)
        while used & set(value.split()):
            value = SLOTS[slot.rstrip("0123456789")](pen.rng)
        used |= set(value.split())
        values[slot] = value
    return values


def _written(line: str, values: dict[str, str]) -> str:
    """The line with its slots filled, and ``a`` or ``an`` by what follows."""
    return re.sub(r"\ban? (?=(\w+))", lambda match: f"{english.article(match[1])} ", " ".join(line.format(**values).split()))


def _noun(kind: str) -> Callable[[Random], str]:
    countable = Ranked([noun.english[0] for noun in NOUNS[kind].items if noun.number == "count"])
    return countable.draw


def _number(low: int, high: int, step: int = 1) -> Callable[[Random], str]:
    return lambda rng: english.cardinal(rng.randrange(low, high + 1, step))


PHRASES = {
    name: synonyms(line)
    for _, name, line in entries("""
job = mayor / director / coach / president / manager / minister / professor / conductor / captain / chairman / chef / editor
cause = lightning / sparks / petrol / fireworks / a candle / a cigarette / an old cable / a pipe / dry grass / the heating
crime = fraud / theft / bribery / arson / smuggling / forgery / blackmail / burglary / perjury / kidnapping
sport = football / handball / chess / hockey / tennis / basketball / rowing / volleyball / boxing / cycling
pain = fever / backache / toothache / earache / cramps / hay fever / a headache / a cough / a rash / a sore throat
cure = stay in bed / drink more tea / take two pills a day / stop smoking / go swimming / eat less sugar / see a specialist
fun = go dancing / play cards / see a film / visit the zoo / bake bread / climb a hill / paint the fence / have lunch
excuse = work late / meet the landlord / mind the baby / catch a flight / write an essay / pack boxes / fix the roof
""")
}
NAMES = NOUNS["name"]
SLOTS: dict[str, Callable[[Random], str]] = {
    **{kind: _noun(kind) for kind in ("building", "vehicle", "org", "thing", "work", "device", "instrument")},
    "town": Ranked([noun.english[0] for noun in NOUNS["town"].items]).draw,
    "name": lambda rng: Person(NAMES.draw(rng)),
    "surname": lexicon.SURNAMES.draw,
    "colour": Ranked([colour.english[0] for colour in lexicon.COLOURS.items]).draw,
    "day": Ranked([day for _, day in lexicon.WEEKDAYS], 8.0).draw,
    "month": Ranked([month for _, month in lexicon.MONTHS], 8.0).draw,
    "count": _number(2, 99),
    "goals": _number(0, 12),
    "hour": _number(1, 12),
    "price": _number(5, 195, 5),
    **{section: Ranked(phrases, 8.0).draw for section, phrases in PHRASES.items()},
}
