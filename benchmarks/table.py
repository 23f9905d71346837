"""Rows of measurements: median and extremes over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import NamedTuple


class Row(NamedTuple):
    """One line.  goal: what is aimed at on two cores at the default sizes, if anything."""

    suite: str
    what: str
    median: float
    low: float
    high: float
    unit: str
    goal: str

    def __str__(self) -> str:
        spread = f"({_short(self.low)} to {_short(self.high)})"
        return f"{self.suite:9}{self.what:68}{_short(self.median):>9} {self.unit:9}{spread:20}{self.goal}".rstrip()


def row(suite: str, what: str, values: Iterable[float], unit: str = "×", goal: str = "") -> Row:
    """A line from one value a round."""
    values = list(values)
    return Row(suite, what, statistics.median(values), min(values), max(values), unit, goal)


def ratio(over: list[float], under: list[float]) -> list[float]:
    """Round by round, so that what slows the machine for a while slows both."""
    return [a / b for a, b in zip(over, under, strict=True)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
