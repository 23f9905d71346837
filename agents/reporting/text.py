"""Tables of scores for the terminal, and ``samples.txt``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from agents.reporting import facts
from agents.reporting.facts import MISSING, MODELS, ScoreTable
from textgen_env.metrics.scores import Score
from textgen_env.terminal import escape_controls


def results_table(results: Mapping[str, Any]) -> Table:
    """Teacher and student side by side, then the cost of training.

    Args:
        results: The contents of ``results.json``.
    """
    speed, scoring = facts.conditions(results), ScoreTable(results).notes
    corpus = f"corpus: {facts.corpus_line(results)}"
    notes = [corpus, facts.warning(results), f"speed: {speed}" if speed else ""]
    table = _table(facts.title(results), MODELS, [*filter(None, notes), *scoring], scoring)
    for section in facts.teacher_student_rows(results):
        for row in section:
            table.add_row(*map(Text, row))
        table.add_section()
    for name, value in facts.costs(results):
        table.add_row(Text(name), "", Text(value))
    return table


def scores_table(scores: Mapping[str, Mapping[str, Score]], title: str, notes: list[str]) -> Table:
    """The table of ``score.py``: one row per metric, one column per model.

    Args:
        scores: all metrics of each model, by name.
        title: what was scored.
        notes: lines below the table; the signatures come after them.
    """
    metrics = next(iter(scores.values()))
    signatures = [f"{facts.row_label(name)}: {score.signature}" for name, score in metrics.items()]
    lines = [*notes, *dict.fromkeys(signatures)]
    table = _table(title, scores, lines, lines)
    for name in metrics:
        cells = (_score(model[name]) for model in scores.values())
        table.add_row(Text(facts.row_label(name)), *map(Text, cells))
    return table


def _score(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:.1f}"
    return f"{score.value:.1f} [{score.low:.1f},\N{NO-BREAK SPACE}{score.high:.1f}]"


def _table(title: str, columns: Iterable[str], notes: list[str], unbroken: list[str]) -> Table:
    """A table with ``notes`` below it, as wide as the longest of those that a user may copy.

    All texts are ``Text``, because Rich would parse markup in a string.
    """
    table = Table(
        title=Text(title),
        caption=Text("\n".join(notes)),
        title_justify="left",
        caption_justify="left",
        min_width=max(map(len, unbroken), default=0),
    )
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right", overflow="fold")
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
