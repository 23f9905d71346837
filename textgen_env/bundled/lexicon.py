"""The tables of ``nouns``, ``verbs`` and ``modifiers``, read into records once, at import."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import zip_longest

from textgen_env.bundled import german, modifiers, nouns, verbs
from textgen_env.bundled.records import Adjective, Adverb, Argument, Frame, Noun, Pool, Ranked
from textgen_env.bundled.tables import entries, rows, synonyms


def read_noun(kind: str, left: str, right: str) -> Iterator[Noun]:
    """The noun of one entry of ``nouns``, then its feminine, if it has one."""
    left, _, place = left.partition(" @ ")
    word, gender, *rest = left.split()
    mark = rest[0] if rest else "-"
    words = synonyms(right)
    number = {"~": "mass", "+": "plural"}.get(right[-1], "count")
    many = word if gender == "p" else "" if mark == "x" else german.plural(word, mark)
    preposition = tuple(place.split("/")) if place else ("auf", "on") if kind == "furniture" else ("in", "in")
    noun = Noun(kind, word, gender[0], many, "*" in gender, tuple(w.strip("~+") for w in words), number, preposition)  # type: ignore[arg-type]
    yield noun
    for feminine in (part[1:] for part in rest if part[0] == "+"):
        form = word.removesuffix("e") + "in" if feminine == "in" else feminine
        yield replace(noun, german=form, gender="f", many=form + "nen", weak=False, english=tuple(map(womanly, noun.english)))


def womanly(word: str) -> str:
    """English mostly says the same of women; a few words differ."""
    return {"actor": "actress", "waiter": "waitress", "postman": "postwoman", "fisherman": "fisherwoman"}.get(word, word)


def read_nouns() -> dict[str, Ranked[Noun]]:
    """``{class: its nouns}``; names, towns and countries are classes too, men's and women's names in turn."""
    table: dict[str, list[Noun]] = {}
    for kind, left, right in entries(nouns.NOUNS):
        table.setdefault(kind, []).extend(read_noun(kind, left, right))
    ranked = {kind: Ranked(found) for kind, found in table.items()}
    names = [name for pair in zip_longest(nouns.MEN, nouns.WOMEN) for name in zip(pair, "mf", strict=True) if name[0]]
    ranked["name"] = Ranked([named(name, gender, "name") for name, gender in names], 8)
    ranked["town"] = Ranked([named(left, "n", "town", right) for _, left, right in entries(nouns.TOWNS)])
    ranked["country"] = Ranked([named(left, "n", "country", right) for _, left, right in entries(nouns.COUNTRIES)])
    return ranked


def named(word: str, gender: str, kind: str, translation: str = "") -> Noun:
    """A proper noun, by default the same in both languages."""
    return Noun(kind, word, gender, "", False, (translation or word,), "count", ("in", "in"), proper=True)


NOUNS = read_nouns()
BY_LEMMA: dict[str, list[Noun]] = {}
for _noun in (noun for ranked in NOUNS.values() for noun in ranked.items):
    BY_LEMMA.setdefault(_noun.german, []).append(_noun)
SURNAMES = Ranked(nouns.SURNAMES, 8)


def lemma(token: str) -> list[Noun]:
    """The one noun, or with its feminine the pair, that a table means; ``birne.food`` says which of several."""
    word, _, kind = token.partition(".")
    found = [noun for noun in BY_LEMMA[word] if kind in ("", noun.kind)]
    if len({noun.kind for noun in found}) != 1:
        raise ValueError(
            f"a table of the bundled grammar says {token!r}, which is {', '.join(noun.kind for noun in found) or 'nothing'}"
        )
    return found


def pool(tokens: str) -> Pool:
    """The nouns of the classes and the single nouns that a table names."""
    names = [name for token in tokens.replace(":p", "").split() for name in verbs.CLASSES.get(token, token).split()]
    classes = [name for name in names if name in NOUNS]
    single = [noun for name in names if name not in NOUNS for noun in lemma(name)]
    choices = [*(NOUNS[name] for name in classes), *([Ranked(single)] if single else [])]
    fitting = frozenset(noun for ranked in choices for noun in ranked.items)
    return Pool(tuple(choices), fitting, "person" in classes and ":p" not in tokens, ":p" in tokens)


def read_argument(text: str) -> Argument:
    """One argument of an entry of ``verbs``; see there."""
    first, _, rest = text.strip().partition(" ")
    if first in ("dass", "ob", "zu", "zu!", "dir", "loc"):
        return Argument(first.strip("!"), case="!" if first == "zu!" else "", english=rest)
    preposition, _, case = first.rpartition("+")
    tokens, _, translation = rest.partition("/")
    return Argument("np", preposition, case, pool(tokens), translation.strip())


def read_frame(left: str, right: str) -> Frame:
    """One entry of ``verbs``; see there."""
    *before, marked = left.split()
    verb = marked.rstrip("*~!")
    reflexive = {"sich": "acc", "sich:dat": "dat"}.get(before[0], "") if before else ""
    translation, _, pattern = right.partition(" : ")
    subject, arrow, rest = re.match(r"([^<>]*)([<>]?)(.*)", pattern).groups()  # type: ignore[union-attr]
    arguments = tuple(read_argument(part) for part in rest.split(";") if part.strip())
    passive = "!" not in marked and any(a.case == "acc" and not a.preposition and a.english in ("", "(to)") for a in arguments)
    predicate = " ".join(before) if before and not reflexive else ""
    agents = None if subject.strip() == "es" else pool(subject)
    return Frame(
        verb,
        predicate,
        reflexive,
        "*" in marked,
        "~" in marked,
        passive,
        synonyms(translation),
        agents,
        arguments,
        arrow == "<",
    )


FRAMES = [read_frame(left, right) for _, left, right in entries(verbs.VERBS)]


@lru_cache(None)
def frames_with(noun: Noun | None, role: int) -> Ranked[Frame] | None:
    """The frames that take ``noun`` as subject (role 0) or as first noun argument (role 1); None is a pronoun for a person."""
    found = []
    for frame in FRAMES:
        takers = [frame.subject] if role == 0 else [a.pool for a in frame.arguments if a.kind == "np"][:1]
        if any(taker and (taker.people if noun is None or noun.kind == "name" else noun in taker.nouns) for taker in takers):
            found.append(frame)
    return Ranked(found, 15) if found else None


def read_adjectives() -> dict[Noun, Ranked[Adjective]]:
    """For each noun, the adjectives that suit it."""
    table: dict[Noun, list[Adjective]] = {}
    for _, left, right in entries(modifiers.ADJECTIVES):
        stem, _, irregular = left.partition(" (")
        translation, _, kinds = right.partition(" : ")
        compared = (
            tuple(irregular.strip(")").split(", ")) if irregular else (german.comparative(stem), german.superlative(stem))
        )
        adjective = Adjective(stem.rstrip("-"), synonyms(translation), None if stem.endswith("-") else compared)  # type: ignore[arg-type]
        for noun in pool(kinds).nouns:
            table.setdefault(noun, []).append(adjective)
    return {noun: Ranked(found) for noun, found in table.items()}


def read_simple(table: str) -> Ranked[Adjective]:
    """Adjectives that suit many nouns and are not compared."""
    return Ranked([Adjective(left, synonyms(right), None) for _, left, right in entries(table)])


ADJECTIVES = read_adjectives()
COLOURS, ORIGINS, DEGREES = (read_simple(t) for t in (modifiers.COLOURS, modifiers.ORIGINS, modifiers.DEGREES))
COLOURED, ORIGINATING = pool(modifiers.COLOURED).nouns, pool(modifiers.ORIGINATING).nouns


def read_compounds() -> dict[Noun, list[tuple[str, str]]]:
    """For each noun, the (German, English) first parts that make compounds with it."""
    table: dict[Noun, list[tuple[str, str]]] = {}
    for _, left, right in entries(modifiers.COMPOUNDS):
        translation, _, heads = right.partition(" : ")
        for noun in pool(heads).nouns:
            table.setdefault(noun, []).append((left.replace(" ", ""), translation))
    return table


COMPOUNDS = read_compounds()


@lru_cache(None)
def compound(noun: Noun, modifier: str, translation: str) -> Noun:
    """``haus`` → ``hochhaus``: the noun with a first part before it, inflected like the noun."""
    words = tuple(f"{translation} {word}" for word in noun.english[:1])
    return replace(noun, german=modifier + noun.german, many=noun.many and modifier + noun.many, english=words)


def read_adverbs(table: str) -> dict[str, Ranked[Adverb]]:
    """``{section: its adverbs}``."""
    found: dict[str, list[Adverb]] = {}
    for section, left, right in entries(table):
        translation, _, place = right.partition(" : ")
        found.setdefault(section, []).append(Adverb(left, synonyms(translation), place or "end"))
    return {section: Ranked(adverbs) for section, adverbs in found.items()}


TIMES = read_adverbs(modifiers.TIMES)
MANNERS = read_adverbs(modifiers.MANNERS)[""]
ATTITUDES = read_adverbs(modifiers.ATTITUDES)[""]
WEEKDAYS, MONTHS = rows(modifiers.WEEKDAYS), rows(modifiers.MONTHS)
