"""German declension: articles, adjectives, nouns, numerals.  Everything is lower case; verbs are in ``conjugation``."""

from __future__ import annotations

import re
from functools import lru_cache

from textgen_env.bundled.tables import rows, words

CASES = ("nom", "acc", "dat", "gen")


def paradigm(table: str) -> dict[tuple[str, str], str]:
    """``{(gender, case): form}`` of a table whose rows are m, f, n and p (plural) and whose columns are the four cases."""
    return {(gender, case): form for gender, *forms in rows(table) for case, form in zip(CASES, forms, strict=True)}


DEFINITE = paradigm("""
m der den dem des
f die die der der
n das das dem des
p die die den der
""")
RELATIVE = DEFINITE | paradigm("""
m der den dem dessen
f die die der deren
n das das dem dessen
p die die denen deren
""")
DER_WORD = paradigm("""
m er en em es
f e e er er
n es es em es
p e e en er
""")
EIN_WORD = DER_WORD | {("m", "nom"): "", ("n", "nom"): "", ("n", "acc"): ""}
STRONG_ADJECTIVE = DER_WORD | {("m", "gen"): "en", ("n", "gen"): "en"}
WEAK_ADJECTIVE = paradigm("""
m e en en en
f e e en en
n e e en en
p en en en en
""")
MIXED_ADJECTIVE = WEAK_ADJECTIVE | {("m", "nom"): "er", ("n", "nom"): "es", ("n", "acc"): "es"}
ADJECTIVE = {"strong": STRONG_ADJECTIVE, "weak": WEAK_ADJECTIVE, "mixed": MIXED_ADJECTIVE}

CONTRACTIONS = {
    (preposition, article): short
    for preposition, article, short in rows(
        "in dem im|an dem am|bei dem beim|von dem vom|zu dem zum|zu der zur|in das ins|an das ans"
    )
}


def preposition(word: str, phrase: str) -> str:
    """``in`` + ``dem haus`` → ``im haus``; a relative pronoun, which stands alone, is left as it is."""
    article, _, rest = phrase.partition(" ")
    short = CONTRACTIONS.get((word, article))
    return f"{short} {rest}" if short and rest else f"{word} {phrase}"


def pronominal(word: str, start: str = "da") -> str:
    """``auf`` → ``darauf`` (or ``worauf``); ``mit`` → ``damit``."""
    return f"{start}{'r' if word[0] in 'aeiouäöü' else ''}{word}"


def der_word(stem: str, gender: str, case: str) -> str:
    """``dies`` + m, dat → ``diesem``."""
    return stem + DER_WORD[gender, case]


def ein_word(stem: str, gender: str, case: str) -> str:
    """``kein`` + f, dat → ``keiner``; ``euer`` loses its second e before an ending."""
    ending = EIN_WORD[gender, case]
    return ("eur" if stem == "euer" and ending else stem) + ending


def adjective(stem: str, kind: str, gender: str, case: str) -> str:
    """An attributive adjective; ``kind`` is strong, weak or mixed: what the word before it leaves to be shown."""
    return attributive(stem) + ADJECTIVE[kind][gender, case]


@lru_cache(None)
def attributive(stem: str) -> str:
    if stem.endswith("hoch"):
        return stem[:-2] + "h"
    if stem.endswith("el") or stem.endswith(("auer", "euer")):
        return stem[:-2] + stem[-1]
    return stem.removesuffix("e")


@lru_cache(None)
def comparative(stem: str) -> str:
    """The regular comparative: ``klein`` → ``kleiner``, ``dunkel`` → ``dunkler``."""
    return attributive(stem) + "er"


@lru_cache(None)
def superlative(stem: str) -> str:
    """The regular superlative's stem: ``klein`` → ``kleinst``, ``breit`` → ``breitest``, ``spannend`` → ``spannendst``."""
    stem = stem.removesuffix("e")
    return stem + ("est" if re.search(r"([^n]d|[^e]nd|[tsßxz]|[^i]sch|eu)$", stem) else "st")


UMLAUT = str.maketrans("aou", "äöü")


def umlaut(word: str) -> str:
    """The last stem vowel takes its umlaut: ``haus`` → ``häus``."""
    at = max(word.rfind(vowel) for vowel in ("a", "o", "u"))
    at -= word[at - 1 : at + 1] == "au"
    return word[:at] + word[at : at + 1].translate(UMLAUT) + word[at + 1 :]


@lru_cache(None)
def plural(noun: str, mark: str) -> str:
    """``haus ¨er`` → ``häuser``; a mark is a suffix, with ``¨`` before it when the stem changes, or the whole plural."""
    if mark == "x":
        return noun
    if mark[0] not in "-¨":
        return mark
    return (umlaut(noun) if mark[0] == "¨" else noun) + mark[1:]


@lru_cache(None)
def genitive(noun: str, long: bool) -> str:
    """The genitive of a masculine or neuter noun; ``long`` for a one-syllable word or a compound that ends in one."""
    if noun.endswith("nis") or noun.endswith("bus"):
        return noun + "ses"
    return noun + (
        "es" if noun.endswith(("s", "ß", "z", "x", "sch", "zt", "st")) or (long and noun[-1] not in "aeiouy") else "s"
    )


def dative_plural(form: str) -> str:
    return form if form.endswith(("n", "s")) or form[-1] in "aio" else form + "n"


UNITS = words("""
null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn
achtzehn neunzehn
""")
TENS = words("_ _ zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")


@lru_cache(None)
def cardinal(number: int, last: bool = True) -> str:
    """0 … 999,999 as one word: ``dreiundzwanzig``, ``zweitausendeinhundertfünf``."""
    if number < 20:
        return UNITS[number] if number != 1 or last else "ein"
    if number < 100:
        tens, unit = divmod(number, 10)
        return (cardinal(unit, False) + "und" if unit else "") + TENS[tens]
    size, word = (100, "hundert") if number < 1000 else (1000, "tausend")
    count, rest = divmod(number, size)
    return cardinal(count, False) + word + (cardinal(rest) if rest else "")


def ordinal(number: int) -> str:
    """The ordinal's stem: ``dritt``, ``zwanzigst``."""
    special = {1: "erst", 3: "dritt", 7: "siebt", 8: "acht"}
    return special.get(number) or cardinal(number) + ("t" if number < 20 else "st")
