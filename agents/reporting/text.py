"""The run as plain text: the results table in the terminal, and ``samples.txt``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from agents.reporting import facts
from agents.reporting.facts import MISSING, MODELS, ScoreTable
from textgen_env.terminal import escape_controls


def results_table(results: Mapping[str, Any]) -> Table:
    """Teacher and student side by side, then the cost of training.

    Args:
        results: The contents of ``results.json``.
    """
    speed, scoring = facts.conditions(results), ScoreTable(results).notes
    corpus = f"corpus: {facts.corpus_line(results)}"
    notes = [corpus, facts.warning(results), f"speed: {speed}" if speed else "", *scoring]
    table = Table(
        title=Text(facts.title(results)),
        caption=Text("\n".join(filter(None, notes))),
        title_justify="left",
        caption_justify="left",
        min_width=max(map(len, scoring), default=0),  # an unbroken signature can be copied
    )
    table.add_column("")
    for model in MODELS:
        table.add_column(model, justify="right", overflow="fold")
    for section in facts.teacher_student_rows(results):
        for row in section:
            table.add_row(*map(Text, row))  # Text, because Rich would parse markup in a string
        table.add_section()
    for name, value in facts.costs(results):
        table.add_row(Text(name), "", Text(value))
    return table


def samples_text(samples: Sequence[Mapping[str, Any]], width: int = 100) -> str:
    r"""Source, reference and both outputs of each sample, wrapped at ``width`` columns.

    Control characters are written as escapes (``\x1b``).

    Args:
        samples: ``{"index", "source", "reference", "teacher", "student"}`` each.
        width: Columns.
    """
    blocks = []
    for sample in samples:
        lines = [f"sentence {sample['index']}"]
        for key in ("source", "reference", *MODELS):
            text = escape_controls(str(sample.get(key) or "").strip()) or MISSING
            wrapper = textwrap.TextWrapper(width, f"  {key:<11}", " " * 13, break_on_hyphens=False)
            lines += wrapper.wrap(text)
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)
