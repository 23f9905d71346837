"""The comparison of several systems for the reader: Markdown, CSV and plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.reporting.comparison import COSTS, OTHER_COSTS, TEACHER, Curve, System
from agents.reporting.facts import NOTHING, amount, times, wording
from agents.reporting.style import INK, MUTED, PALETTE, STYLE, png

MARKS = "osD^vP*X"


def markdown(rows: Sequence[Mapping[str, Any]], title: str, notes: Sequence[str]) -> str:
    """The table of ``agents.reporting.comparison.rows`` with a title above and notes below it."""
    names = [key for key in rows[0] if "@" in key and not key.endswith(("_low", "_high"))]
    costs = (*COSTS, *OTHER_COSTS)
    head = [
        "system",
        "student",
        "seeds",
        *map(heading, names),
        "gain over mle",
        "p (mle)",
        "p (seqkd)",
    ]
    head += ["parameters", "speed-up", *map(wording, costs)]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for row in rows:
        scores = [
            f"{row[name]:.1f} [{row[f'{name}_low']:.1f}, {row[f'{name}_high']:.1f}]"
            for name in names
        ]
        gain = (
            NOTHING if row["gain"] is None or row["algorithm"] == "mle" else f"{row['gain']:+.1f}"
        )
        tests = [NOTHING if row[key] is None else f"{row[key]:.3f}" for key in ("p_mle", "p_seqkd")]
        several = row["seeds"] > 1 and row["speedup"]
        spread = f" ({row['speedup_low']:.1f}–{row['speedup_high']:.1f})" if several else ""
        facts = [
            amount(row["parameters"]),
            times(row["speedup"]) + spread,
            *(amount(row[cost], cost) for cost in costs),
        ]
        lines.append(
            [row["algorithm"], row["student"], str(row["seeds"]), *scores, gain, *tests, *facts]
        )
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([f"# {title}", table, *notes]) + "\n"


def heading(name: str) -> str:
    """``bleu@5`` → ``BLEU, beam 5``."""
    metric, _, width = name.partition("@")
    return f"{wording(metric)}, beam {width}"


def comma_separated(rows: Sequence[Mapping[str, Any]]) -> str:
    """The same numbers, unrounded, one line per system."""
    file = io.StringIO()
    names = [name for name, value in rows[0].items() if not isinstance(value, list)]
    table = csv.DictWriter(file, names, lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    return file.getvalue()


@matplotlib.rc_context(STYLE | {"axes.grid.axis": "x", "axes.xmargin": 0.15})
def scores_png(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Every system's mean score on its interval, small dots for the seeds; one panel per student, on one scale.

    The teacher's score is a dashed line, its interval a band.
    """
    name = next(key for key in rows[0] if "@" in key)
    teachers, trained = (
        [row for row in rows if (row["algorithm"] == TEACHER) is is_one] for is_one in (True, False)
    )
    colors = dict(
        zip(
            dict.fromkeys(row["algorithm"] for row in trained), PALETTE * len(trained), strict=False
        )
    )
    students = list(dict.fromkeys(row["student"] for row in trained))
    panels = [
        [row for row in reversed(trained) if row["student"] == student] for student in students
    ]
    figure = Figure(
        figsize=(4.6 * len(students), 1.2 + 0.38 * max(map(len, panels))), layout="constrained"
    )
    subplots = figure.subplots(1, len(students), sharex=True, squeeze=False).flat
    for axes, student, shown in zip(subplots, students, panels, strict=True):
        for row in teachers:
            axes.axvspan(
                row[f"{name}_low"], row[f"{name}_high"], color=MUTED, alpha=0.12, linewidth=0
            )
            axes.axvline(row[name], color=MUTED, linewidth=1, linestyle="--")
            place = (row[name], 1), (-4, -2), ("data", "axes fraction"), "offset points"
            axes.annotate(TEACHER, *place, ha="right", va="top", color=MUTED, fontsize=8)
        for height, row in enumerate(shown):
            _dot(axes, height, row, name, colors[row["algorithm"]])
        axes.set_yticks(range(len(shown)), [row["algorithm"] for row in shown])
        axes.set(title=f"{student} student", xlabel=heading(name), ylim=(-0.6, len(shown) - 0.2))
    return png(figure)


def _dot(axes: Axes, height: int, row: Mapping[str, Any], name: str, color: str) -> None:
    axes.plot(
        [row[f"{name}_low"], row[f"{name}_high"]], [height, height], color=color, linewidth=2.5
    )
    axes.plot([row[name]], [height], color=color, marker="o", markersize=7)
    if row["seeds"] > 1:
        below = [height - 0.22] * row["seeds"]
        axes.plot(
            row["score_by_seed"],
            below,
            color=color,
            marker=".",
            markersize=4,
            alpha=0.6,
            linestyle="none",
        )
    above = (row[name], height), (0, 7), "data", "offset points"
    axes.annotate(f"{row[name]:.1f}", *above, ha="center", color=INK)


@matplotlib.rc_context(STYLE)
def lines_png(
    curves: Mapping[System, Sequence[Curve]],
    x: str,
    y: str,
    algorithms: Sequence[str],
    zero: bool = False,
) -> bytes:
    """One panel per student, on one scale: every algorithm's mean curve, and thin lines for its seeds.

    Args:
        curves: ``{(student, algorithm): [[(x, y), …] per seed]}``; the mean is over points of equal index.
        x: Label.
        y: Label.
        algorithms: All of the comparison, in order, so that each has its color in every figure.
        zero: Whether to mark y = 0.
    """
    students = list(dict.fromkeys(student for student, _ in curves))
    figure = Figure(figsize=(5.4 * max(1, len(students)), 3.8), layout="constrained")
    panels = figure.subplots(1, max(1, len(students)), sharex=True, sharey=True, squeeze=False).flat
    for axes, student in zip(panels, students, strict=False):
        for (who, algorithm), seeds in curves.items():
            if who == student and all(seeds):
                _line(axes, seeds, algorithm, algorithms.index(algorithm))
        if zero:
            axes.axhline(0, color=MUTED, linewidth=1, linestyle="--")
        axes.legend()
        axes.set(title=f"{student} student", xlabel=x, ylabel=y)
        axes.tick_params(labelleft=True)
    return png(figure)


def _line(axes: Axes, seeds: Sequence[Curve], label: str, number: int) -> None:
    """The mean over the seeds, and each of several."""
    color, shortest = PALETTE[number % len(PALETTE)], min(map(len, seeds))
    points = np.array([curve[:shortest] for curve in seeds])  # [seeds, N, 2]
    if len(seeds) > 1:
        for curve in points:
            axes.plot(*curve.T, color=color, linewidth=0.7, alpha=0.45)
        label = f"{label}, mean of {len(seeds)} seeds"
    marker = MARKS[number % len(MARKS)] if shortest <= 40 else None
    axes.plot(*points.mean(axis=0).T, color=color, marker=marker, markersize=4, label=label)
