"""Write a comparison of systems as Markdown, CSV and plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.reporting import tables
from agents.reporting.comparison import COSTS, OTHER_COSTS, TEACHER, Curve, System
from agents.reporting.facts import display_name, format_ratio, format_value
from agents.reporting.style import INK, MUTED, PALETTE, STYLE, png
from agents.reporting.tables import Row

MARKERS = "osD^vP*X"
UNFINISHED = (
    "Unfinished: the validation score still improved in the last tenth of the training; "
    "more updates would probably raise the scores."
)


def markdown(rows: Sequence[Row], title: str, notes: Sequence[str]) -> str:
    """The rows of ``comparison_rows`` as a table, with ``title`` above and ``notes`` below."""
    metrics, costs = tables.metric_names(rows[0]), (*COSTS, *OTHER_COSTS)
    head = ["system", "student", "seeds", *map(tables.metric_heading, metrics)]
    head += ["gain over mle", "p (mle)", "p (seqkd)"]
    head += ["parameters", "speed-up", *map(display_name, costs)]
    cells = []
    for row in rows:
        extremes = ""
        if row["seeds"] > 1 and row["speedup"]:
            extremes = f" ({row['speedup_low']:.1f}–{row['speedup_high']:.1f})"
        line = [row["algorithm"] + _mark(row), row["student"], str(row["seeds"])]
        line += [tables.score_text(row, name) for name in metrics]
        line += [tables.gain_text(row), tables.p_text(row, "mle"), tables.p_text(row, "seqkd")]
        line += [format_value(row["parameters"]), format_ratio(row["speedup"]) + extremes]
        cells.append(line + [format_value(row[cost], cost) for cost in costs])
    if any(map(_mark, rows)):
        notes = [*notes, UNFINISHED]
    return "\n\n".join([f"# {title}", tables.markdown_table(head, cells), *notes]) + "\n"


def _mark(row: Row) -> str:
    """`` (unfinished)``, or the number of such runs; empty if all are finished."""
    count = row["unfinished"]
    several = f": {count} of {row['seeds']}" if row["seeds"] > 1 else ""
    return f" (unfinished{several})" if count else ""


def csv_table(rows: Sequence[Row]) -> str:
    """The rows as CSV, unrounded, without their lists."""
    file = io.StringIO()
    names = [name for name, value in rows[0].items() if not isinstance(value, list)]
    table = csv.DictWriter(file, names, lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    return file.getvalue()


@matplotlib.rc_context(STYLE | {"axes.grid.axis": "x", "axes.xmargin": 0.15})
def scores_png(rows: Sequence[Row]) -> bytes:
    """Plot each system's mean score and interval, one panel per student with a shared x-axis.

    Small dots are the seeds. The teacher's score is a dashed line, its interval a band.
    """
    name = next(key for key in rows[0] if "@" in key)
    teachers = [row for row in rows if row["algorithm"] == TEACHER]
    trained = [row for row in rows if row["algorithm"] != TEACHER]
    algorithms = dict.fromkeys(row["algorithm"] for row in trained)
    colors = dict(zip(algorithms, PALETTE * len(trained), strict=False))
    students = list(dict.fromkeys(row["student"] for row in trained))
    panels = [
        [row for row in reversed(trained) if row["student"] == student] for student in students
    ]
    size = (4.6 * len(students), 1.2 + 0.38 * max(map(len, panels)))
    figure = Figure(figsize=size, layout="constrained")
    subplots = figure.subplots(1, len(students), sharex=True, squeeze=False).flat
    for axes, student, panel_rows in zip(subplots, students, panels, strict=True):
        for row in teachers:
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            axes.axvspan(low, high, color=MUTED, alpha=0.12, linewidth=0)
            axes.axvline(row[name], color=MUTED, linewidth=1, linestyle="--")
            place = (row[name], 1), (-4, -2), ("data", "axes fraction"), "offset points"
            axes.annotate(TEACHER, *place, ha="right", va="top", color=MUTED, fontsize=8)
        for y, row in enumerate(panel_rows):
            _plot_score(axes, y, row, name, colors[row["algorithm"]])
        axes.set_yticks(range(len(panel_rows)), [row["algorithm"] for row in panel_rows])
        label = tables.metric_heading(name)
        axes.set(title=f"{student} student", xlabel=label, ylim=(-0.6, len(panel_rows) - 0.2))
    return png(figure)


def _plot_score(axes: Axes, y: int, row: Row, name: str, color: str) -> None:
    axes.plot([row[f"{name}_low"], row[f"{name}_high"]], [y, y], color=color, linewidth=2.5)
    axes.plot([row[name]], [y], color=color, marker="o", markersize=7)
    if row["seeds"] > 1:
        style: Any = {"marker": ".", "markersize": 4, "alpha": 0.6, "linestyle": "none"}
        axes.plot(row["score_by_seed"], [y - 0.22] * row["seeds"], color=color, **style)
    above = (row[name], y), (0, 7), "data", "offset points"
    axes.annotate(f"{row[name]:.1f}", *above, ha="center", color=INK)


@matplotlib.rc_context(STYLE)
def lines_png(
    curves: Mapping[System, Sequence[Curve]],
    x: str,
    y: str,
    algorithms: Sequence[str],
    zero: bool = False,
) -> bytes:
    """Plot each algorithm's mean curve and, thin, the curve of each seed; one panel per student.

    Args:
        curves: ``{(student, algorithm): [[(x, y), …] per seed]}``; the mean is by index.
        x: X label.
        y: Y label.
        algorithms: All algorithms of the comparison, which fix the colors across figures.
        zero: Whether to mark y = 0.
    """
    students = list(dict.fromkeys(student for student, _ in curves))
    columns = max(1, len(students))
    figure = Figure(figsize=(5.4 * columns, 3.8), layout="constrained")
    panels = figure.subplots(1, columns, sharex=True, sharey=True, squeeze=False).flat
    for axes, student in zip(panels, students, strict=False):
        for (curve_student, algorithm), seeds in curves.items():
            if curve_student == student and all(seeds):
                _plot_seeds(axes, seeds, algorithm, algorithms.index(algorithm))
        if zero:
            axes.axhline(0, color=MUTED, linewidth=1, linestyle="--")
        axes.legend()
        axes.set(title=f"{student} student", xlabel=x, ylabel=y)
        axes.tick_params(labelleft=True)
    return png(figure)


def _plot_seeds(axes: Axes, seeds: Sequence[Curve], label: str, number: int) -> None:
    color, shortest = PALETTE[number % len(PALETTE)], min(map(len, seeds))
    points = np.array([curve[:shortest] for curve in seeds])  # [seeds, N, 2]
    if len(seeds) > 1:
        for curve in points:
            axes.plot(*curve.T, color=color, linewidth=0.7, alpha=0.45)
        label = f"{label}, mean of {len(seeds)} seeds"
    marker = MARKERS[number % len(MARKERS)] if shortest <= 40 else None
    axes.plot(*points.mean(axis=0).T, color=color, marker=marker, markersize=4, label=label)
