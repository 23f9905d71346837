"""A user's mistake is one clear line: what, where, and what to do.  Scripts print it and exit with code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, SupportsFloat

import numpy as np

from textgen_env.terminal import escape_controls

KINDS: dict[
    type, tuple[Any, str]
] = {  # of a setting, by its default: the types it may have, and their name
    bool: ((bool, np.bool_), "True or False"),
    int: ((int, np.integer), "a whole number"),
    float: ((int, float, np.integer, np.floating), "a number"),
    str: ((str,), "a text"),
}


class UserError(ValueError):
    """A mistake in a command, a file or a setting; its text is the whole message, on one line without control characters."""

    def __init__(self, message: str) -> None:
        super().__init__(escape_controls(str(message)))


def unknown(kind: str, name: object, valid: Iterable[str]) -> UserError:
    """``unknown env 'IWSTL-v0'; did you mean 'IWSLT-v0'? (valid: …)``."""
    names = sorted(valid)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return UserError(f"unknown {kind} {name!r}{hint} (valid: {', '.join(names)})")


class Range(NamedTuple):
    """The numbers that a setting may have, from ``least`` to ``most``; open: the ends that are themselves excluded."""

    least: float
    most: float
    open: Literal["", "least", "most", "both"] = ""

    def __contains__(self, value: object) -> bool:
        """Whether ``value`` is a number of the range; NaN never is."""
        if not isinstance(value, SupportsFloat):
            return False
        above = value > self.least if self.open in ("least", "both") else value >= self.least  # type: ignore[operator]
        below = value < self.most if self.open in ("most", "both") else value <= self.most  # type: ignore[operator]
        return bool(above and below)

    def __str__(self) -> str:
        low = "more than" if self.open in ("least", "both") else "a number of at least"
        high = "less than" if self.open in ("most", "both") else "at most"
        return f"{low} {self.least:,} and {high} {self.most:,} expected"


def check_range(name: str, value: float, allowed: Range) -> None:
    """UserError ``name=value: … expected`` unless ``value`` lies in ``allowed``."""
    if value not in allowed:
        raise UserError(f"{name}={value}: {allowed}")


def check_kind(name: str, value: object, default: object) -> None:
    """UserError ``name=value: … expected`` unless ``value`` is of the kind of ``default``."""
    if type(default) not in KINDS:
        return
    types, words = KINDS[type(default)]
    if not isinstance(value, types) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise UserError(f"{name}={value!r}: {words} expected")
