"""The table of ``score.py``: every metric of every model, with intervals and signatures."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from agents.reporting.facts import row_label
from textgen_env.metrics.scores import Score


def scores_table(scores: Mapping[str, Mapping[str, Score]], title: str, notes: list[str]) -> Table:
    """One row per metric, one column per model.

    Args:
        scores: all metrics of each model, by name.
        title: what was scored.
        notes: lines below the table; the signatures come after them.
    """
    metrics = next(iter(scores.values()))
    signatures = [f"{row_label(name)}: {score.signature}" for name, score in metrics.items()]
    lines = [*notes, *dict.fromkeys(signatures)]
    table = Table(
        title=Text(title),
        caption=Text("\n".join(lines)),
        title_justify="left",
        caption_justify="left",
        min_width=max(map(len, lines)),  # an unbroken signature can be copied
    )
    table.add_column("")
    for model in scores:
        table.add_column(model, justify="right", overflow="fold")
    for name in metrics:
        cells = (_cell(model[name]) for model in scores.values())
        table.add_row(Text(row_label(name)), *map(Text, cells))
    return table


def _cell(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:.1f}"
    return f"{score.value:.1f} [{score.low:.1f},\N{NO-BREAK SPACE}{score.high:.1f}]"
