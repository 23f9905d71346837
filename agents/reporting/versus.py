"""The comparison of several systems for the reader: Markdown, CSV, and figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from agents.reporting.comparison import COSTS, OTHER_COSTS, TEACHER, Curve
from agents.reporting.facts import NOTHING, amount, times, wording
from agents.reporting.plots import INK, MUTED, PAGE, RULE, bare

MARKS = "osD^vP*X"
COLOURS = ("#00639c", "#b34700", "#00785a", "#8f3a76", "#7a5c00", "#3b4cc0", "#b3002d", "#3f6b00", "#5e5e5e", "#007a87")


def markdown(rows: Sequence[Mapping[str, Any]], title: str, notes: Sequence[str]) -> str:
    """The table of ``agents.reporting.comparison.rows`` with a title above and notes below it."""
    names = [key for key in rows[0] if "@" in key and not key.endswith(("_low", "_high"))]
    costs = (*COSTS, *OTHER_COSTS)
    head = ["system", "student", "seeds", *map(heading, names), "gain over mle", "p (mle)", "p (seqkd)"]
    head += ["parameters", "speed-up", *map(wording, costs)]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for row in rows:
        scores = [f"{row[name]:.1f}{_interval(row, name)}" for name in names]
        gain = NOTHING if row["gain"] is None or row["algorithm"] == "mle" else f"{row['gain']:+.1f}"
        tests = [NOTHING if row[key] is None else f"{row[key]:.3f}" for key in ("p_mle", "p_seqkd")]
        facts = [amount(row["parameters"]), _speedup(row), *(amount(row[cost], cost) for cost in costs)]
        lines.append([row["algorithm"], row["student"], str(row["seeds"]), *scores, gain, *tests, *facts])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([f"# {title}", table, *notes]) + "\n"


def heading(name: str) -> str:
    """``bleu@5`` → ``BLEU, beam 5``."""
    figure, _, width = name.partition("@")
    return f"{wording(figure)}, beam {width}"


def _interval(row: Mapping[str, Any], name: str) -> str:
    return f" [{row[f'{name}_low']:.1f}, {row[f'{name}_high']:.1f}]"


def _speedup(row: Mapping[str, Any]) -> str:
    """Median, and with several seeds the range."""
    spread = f" ({row['speedup_low']:.1f}–{row['speedup_high']:.1f})" if row["seeds"] > 1 and row["speedup"] else ""
    return times(row["speedup"]) + spread


def comma_separated(rows: Sequence[Mapping[str, Any]]) -> str:
    """The same numbers, unrounded, one line per system."""
    written = io.StringIO()
    names = [name for name, value in rows[0].items() if not isinstance(value, list)]
    table = csv.DictWriter(written, names, lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue()


def scores_png(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Every system's mean score on its interval, small dots for the seeds; one panel per student, on one scale.

    The teacher's score is a dashed line, its interval a band.
    """
    name = next(key for key in rows[0] if "@" in key)
    teacher = next((row for row in rows if row["algorithm"] == TEACHER), None)
    trained = [row for row in rows if row is not teacher]
    colours = _colours(row["algorithm"] for row in trained)
    by_student = {row["student"]: [each for each in trained if each["student"] == row["student"]] for row in trained}
    tallest = max(map(len, by_student.values()))
    size = (4.6 * len(by_student), 1.2 + 0.38 * tallest)
    figure = Figure(figsize=size, dpi=160, facecolor=PAGE, layout="constrained")
    panels = figure.subplots(1, len(by_student), sharex=True, squeeze=False)[0]
    for axes, (student, shown) in zip(panels, by_student.items(), strict=True):
        if teacher is not None:
            _teacher(axes, teacher, name)
        for height, row in enumerate(reversed(shown)):
            _dot(axes, height, row, name, colours[row["algorithm"]])
        axes.set_yticks(range(len(shown)), [row["algorithm"] for row in reversed(shown)])
        axes.set_ylim(-0.6, len(shown) - 0.2)
        axes.margins(x=0.15)
        _finish(axes, f"{student} student", heading(name), "", "x")
    return _png(figure)


def _teacher(axes: Axes, row: Mapping[str, Any], name: str) -> None:
    axes.axvspan(row[f"{name}_low"], row[f"{name}_high"], color=MUTED, alpha=0.12, linewidth=0)
    axes.axvline(row[name], color=MUTED, linewidth=1, linestyle="--")
    where = (row[name], 1), (-4, -2), ("data", "axes fraction"), "offset points"
    axes.annotate(TEACHER, *where, ha="right", va="top", color=MUTED, fontsize=8)


def _dot(axes: Axes, height: int, row: Mapping[str, Any], name: str, colour: str) -> None:
    axes.plot([row[f"{name}_low"], row[f"{name}_high"]], [height, height], color=colour, linewidth=2.5)
    axes.plot([row[name]], [height], color=colour, marker="o", markersize=7)
    if row["seeds"] > 1:
        below = [height - 0.22] * row["seeds"]
        axes.plot(row["score_by_seed"], below, color=colour, marker=".", markersize=4, alpha=0.6, linestyle="none")
    above = (row[name], height), (0, 7), "data", "offset points"
    axes.annotate(f"{row[name]:.1f}", *above, ha="center", color=INK)


def lines_png(
    curves: Mapping[tuple[str, str], Sequence[Curve]],
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
    colours = _colours(algorithms)
    size = (5.4 * max(1, len(students)), 3.8)
    figure = Figure(figsize=size, dpi=160, facecolor=PAGE, layout="constrained")
    panels = figure.subplots(1, max(1, len(students)), sharex=True, sharey=True, squeeze=False)[0]
    for axes, student in zip(panels, students, strict=False):
        for (who, algorithm), seeds in curves.items():
            if who == student and all(seeds):
                mark = MARKS[algorithms.index(algorithm) % len(MARKS)]
                _line(axes, seeds, colours[algorithm], mark, algorithm)
        if zero:
            axes.axhline(0, color=MUTED, linewidth=1, linestyle="--")
        axes.legend(frameon=False, fontsize=8)
        _finish(axes, f"{student} student", x, y, "y")
        axes.tick_params(labelleft=True)
    return _png(figure)


def _line(axes: Axes, seeds: Sequence[Curve], colour: str, mark: str, label: str) -> None:
    """The mean over the seeds, and each of several."""
    shortest = min(map(len, seeds))
    points = np.array([curve[:shortest] for curve in seeds])  # [seeds, N, 2]
    if len(seeds) > 1:
        for curve in points:
            axes.plot(*curve.T, color=colour, linewidth=0.7, alpha=0.45)
        label = f"{label}, mean of {len(seeds)} seeds"
    marker = mark if shortest <= 40 else None
    axes.plot(*points.mean(axis=0).T, color=colour, marker=marker, markersize=4, label=label)


def _colours(algorithms: Iterable[str]) -> dict[str, str]:
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(dict.fromkeys(algorithms))}


def _finish(axes: Axes, title: str, x: str, y: str, grid: Any) -> None:
    bare(axes)
    axes.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")
    axes.set_xlabel(x, fontsize=9, color=MUTED)
    axes.set_ylabel(y, fontsize=9, color=MUTED)
    axes.grid(axis=grid, color=RULE, linewidth=0.6)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    image = io.BytesIO()
    figure.savefig(image, metadata={"Software": None})
    return image.getvalue()
