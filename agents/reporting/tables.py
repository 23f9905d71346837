"""Markdown tables of systems, and their cells: scores with intervals, gains and p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.reporting.facts import MISSING, display_name

Row = Mapping[str, Any]  # as from ``comparison_rows``
LEFT = ("system", "student", "decoding", "notes")  # columns of text; the others hold numbers


def metric_names(row: Row) -> list[str]:
    """The scores of a row, such as ``bleu@1``."""
    return [key for key in row if "@" in key and not key.endswith(("_low", "_high"))]


def metric_heading(name: str) -> str:
    """``bleu@5`` → ``BLEU, beam 5``."""
    metric, _, beam = name.partition("@")
    return f"{display_name(metric)}, beam {beam}"


def beam_name(width: int) -> str:
    """``greedy`` or ``beam 5``."""
    return "greedy" if width == 1 else f"beam {width}"


def score_text(row: Row, name: str) -> str:
    """``33.1 [32.0, 34.2]``."""
    if row.get(name) is None:
        return MISSING
    return f"{row[name]:.1f} [{row[f'{name}_low']:.1f}, {row[f'{name}_high']:.1f}]"


def gain_text(row: Row) -> str:
    """The gain over ``mle``, with its sign."""
    gain = row.get("gain")
    return MISSING if gain is None or row["algorithm"] == "mle" else f"{gain:+.1f}"


def p_text(row: Row, baseline: str) -> str:
    """The p-value of the test against ``baseline``."""
    p = row.get(f"p_{baseline}")
    return MISSING if p is None else f"{p:.3f}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rule = ["---" if name in LEFT else "---:" for name in head]
    lines = [head, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
