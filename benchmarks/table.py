"""Benchmark results: median, minimum and maximum over repeats."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import NamedTuple


class Row(NamedTuple):
    """One result; ``goal`` is the target on two cores with default sizes, or empty."""

    suite: str
    what: str
    median: float
    low: float
    high: float
    unit: str
    goal: str

    def __str__(self) -> str:
        extremes = f"({_short(self.low)} to {_short(self.high)})"
        value = f"{_short(self.median):>9} {self.unit:9}"
        return f"{self.suite:9}{self.what:68}{value}{extremes:20}{self.goal}".rstrip()


def row(suite: str, what: str, values: Iterable[float], unit: str = "×", goal: str = "") -> Row:
    """Build a row from one value per repeat."""
    values = list(values)
    return Row(suite, what, statistics.median(values), min(values), max(values), unit, goal)


def ratio(numerator: list[float], denominator: list[float]) -> list[float]:
    """Divide repeat by repeat, so that temporary slowdowns of the machine cancel out."""
    return [a / b for a, b in zip(numerator, denominator, strict=True)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
