"""Errors that a user can fix: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, SupportsFloat

import numpy as np

from textgen_env.terminal import escape_controls

# Type of a default → types that a value may have, and their name in messages.
KINDS: dict[type, tuple[Any, str]] = {
    bool: ((bool, np.bool_), "True or False"),
    int: ((int, np.integer), "an integer"),
    float: ((int, float, np.integer, np.floating), "a number"),
    str: ((str,), "a string"),
}


class UserError(ValueError):
    """A mistake in a command, a file or a setting.

    Its text is the whole message, one line without control characters. Commands print it and exit
    with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(escape_controls(str(message)))


MAX_LISTED = 30  # names in an error message


def unknown(kind: str, name: object, valid: Iterable[str]) -> UserError:
    """Build the error ``unknown env 'IWSTL-v0'; did you mean 'IWSLT-v0'? (valid: …)``."""
    names = sorted(valid)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names) if len(names) <= MAX_LISTED else f"{len(names)} names, see --help"
    return UserError(f"unknown {kind} {name!r}{hint} (valid: {listed})")


class Range(NamedTuple):
    """The numbers from ``least`` to ``most``; ``open`` names the ends that are excluded."""

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
        if not self.open:
            return f"from {self.least:,} to {self.most:,}"
        low = "greater than" if self.open in ("least", "both") else "at least"
        high = "less than" if self.open in ("most", "both") else "at most"
        return f"{low} {self.least:,} and {high} {self.most:,}"


def check_range(name: str, value: float, allowed: Range) -> None:
    """Raise UserError ``name=value: expected …`` unless ``value`` is in ``allowed``."""
    if value not in allowed:
        raise UserError(f"{name}={value}: expected a number {allowed}")


def check_kind(name: str, value: object, default: object) -> None:
    """Raise UserError ``name=value: expected …`` unless ``value`` has the type of ``default``."""
    if type(default) not in KINDS:
        return
    types, words = KINDS[type(default)]
    if not isinstance(value, types) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise UserError(f"{name}={value!r}: expected {words}")
