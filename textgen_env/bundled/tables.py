"""How the tables of this package are written: words, rows of words, and dictionary entries, in plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


def rows(text: str) -> list[list[str]]:
    """The words of every row; rows end at a line's end or at ``|``."""
    return [row.split() for row in text.strip().replace("\n", "|").split("|")]


def entries(text: str) -> Iterator[tuple[str, str, str]]:
    """``(section, left, right)`` of every entry ``left = right``; entries end at a line's end or at `` | ``."""
    section = ""
    for row in re.split(r" \| |\n", text.strip()):
        if row.startswith("["):
            section = row.strip("[]")
        else:
            left, _, right = row.partition(" = ")
            yield section, left.strip(), right.strip()


def synonyms(text: str) -> tuple[str, ...]:
    """``big / large``."""
    return tuple(word.strip() for word in text.split(" / "))


def join(*parts: str) -> str:
    """The parts that are not empty, with a space between."""
    return " ".join(filter(None, parts))
