"""The run in plain text: the table at the end of the terminal's output, and ``samples.txt``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from agents.reporting.facts import (
    NOTHING,
    SIDES,
    Scores,
    comparison,
    conditions,
    corpus_line,
    costs,
    title,
    warning,
)
from textgen_env.terminal import visible


def table(results: Mapping[str, Any]) -> Table:
    """Teacher and student side by side, then what the training cost.  results: the contents of ``results.json``."""
    speed, scoring = conditions(results), Scores(results).notes
    notes = [
        f"corpus: {corpus_line(results)}",
        warning(results),
        f"speed: {speed}" if speed else "",
        *scoring,
    ]
    shown = Table(
        title=Text(title(results)),
        caption=Text("\n".join(filter(None, notes))),
        title_justify="left",
        caption_justify="left",
        min_width=max(map(len, scoring), default=0),  # a signature in one piece can be copied
    )
    shown.add_column("")
    for side in SIDES:
        shown.add_column(side, justify="right", overflow="fold")
    for rows in comparison(results):
        for row in rows:
            shown.add_row(
                *map(Text, row)
            )  # Text, because a cell may hold what Rich would read as its markup
        shown.add_section()
    for name, value in costs(results):
        shown.add_row(Text(name), "", Text(value))
    return shown


def samples_text(samples: Sequence[Mapping[str, Any]], width: int = 100) -> str:
    r"""Every sample's source, reference, teacher and student under one another, wrapped at ``width`` columns;
    control characters show as escapes (``\x1b``).

    samples: ``{"index", "source", "reference", "teacher", "student"}`` each.
    """
    blocks = []
    for sample in samples:
        lines = [f"sentence {sample['index']}"]
        for key in ("source", "reference", *SIDES):
            text, name, indent = (
                visible(str(sample.get(key) or "").strip()) or NOTHING,
                f"  {key:<11}",
                " " * 13,
            )
            lines += textwrap.wrap(
                text, width, initial_indent=name, subsequent_indent=indent, break_on_hyphens=False
            )
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)
