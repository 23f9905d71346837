"""The comparison of several systems for the reader: Markdown, CSV, and figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from agents.comparison import COSTS
from agents.report.facts import NOTHING, amount, times, wording
from agents.report.plots import INK, MUTED, PAGE, RULE, bare

MARKS = "osD^vP*X"
COLOURS = ("#00639c", "#b34700", "#00785a", "#8f3a76", "#7a5c00", "#3b4cc0", "#b3002d", "#3f6b00", "#5e5e5e", "#007a87")


def markdown(rows: Sequence[Mapping[str, Any]], title: str, notes: Sequence[str]) -> str:
    """The table of ``agents.comparison.rows`` with a title above and notes below it."""
    names = [key for key in rows[0] if "@" in key and not key.endswith(("_low", "_high"))]
    head = ["system", "student", *map(heading, names), "gain over mle", "p (mle)", "p (seqkd)", "parameters", "speed-up"]
    lines = [head + [wording(cost) for cost in COSTS]]
    for row in rows:
        scores = [f"{row[name]:.1f}{_interval(row, name)}" for name in names]
        gain = NOTHING if row["gain"] is None or row["algorithm"] == "mle" else f"{row['gain']:+.1f}"
        tests = [NOTHING if row[key] is None else f"{row[key]:.3f}" for key in ("p_mle", "p_seqkd")]
        facts = [amount(row["parameters"]), times(row["speedup"]), *(amount(row[cost], cost) for cost in COSTS)]
        lines.append([row["algorithm"], row["student"], *scores, gain, *tests, *facts])
    lines.insert(1, ["---", "---", *["---:"] * (len(head) + len(COSTS) - 2)])
    table = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    return "\n\n".join([f"# {title}", table, *notes]) + "\n"


def heading(name: str) -> str:
    """``bleu@5`` → ``BLEU, beam 5``."""
    figure, _, width = name.partition("@")
    return f"{wording(figure)}, beam {width}"


def _interval(row: Mapping[str, Any], name: str) -> str:
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return "" if low is None or high is None else f" [{low:.1f}, {high:.1f}]"


def comma_separated(rows: Sequence[Mapping[str, Any]]) -> str:
    """The same figures, unrounded, one line a system."""
    written = io.StringIO()
    table = csv.DictWriter(written, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue()


def scores_png(rows: Sequence[Mapping[str, Any]], teacher: float | None) -> bytes:
    """Every system's score on its interval, one panel a student, the teacher's as a line."""
    students = list(dict.fromkeys(row["student"] for row in rows))
    name = next(key for key in rows[0] if "@" in key)
    colours = _colours(row["algorithm"] for row in rows)
    tallest = max(sum(row["student"] == student for row in rows) for student in students)
    figure = Figure(figsize=(4.6 * len(students), 1.2 + 0.38 * tallest), dpi=160, facecolor=PAGE, layout="constrained")
    for place, student in enumerate(students, start=1):
        axes = figure.add_subplot(1, len(students), place)
        shown = [row for row in rows if row["student"] == student][::-1]
        for height, row in enumerate(shown):
            colour, low = colours[row["algorithm"]], row[f"{name}_low"]
            if low is not None:
                axes.plot([low, row[f"{name}_high"]], [height, height], color=colour, linewidth=2.5)
            axes.plot([row[name]], [height], color=colour, marker="o", markersize=7)
            axes.annotate(f"{row[name]:.1f}", (row[name], height), (0, 7), textcoords="offset points", ha="center", color=INK)
        if teacher is not None:
            axes.axvline(teacher, color=MUTED, linewidth=1, linestyle="--")
            axes.annotate("teacher", (teacher, 1), (-4, -2), ("data", "axes fraction"), "offset points", ha="right", va="top")
        axes.set_yticks(range(len(shown)), [row["algorithm"] for row in shown])
        axes.set_ylim(-0.6, len(shown) - 0.2)
        axes.margins(x=0.15)
        _finish(axes, f"{student} student", heading(name), "", "x")
    return _png(figure)


def lines_png(lines: Mapping[tuple[str, str], Sequence[tuple[float, float]]], x: str, y: str, zero: bool = False) -> bytes:
    """``{(student, algorithm): [(x, y), …]}``: one panel a student, every line named."""
    students = list(dict.fromkeys(student for student, _ in lines))
    colours = _colours(algorithm for _, algorithm in lines)
    figure = Figure(figsize=(5.4 * max(1, len(students)), 3.8), dpi=160, facecolor=PAGE, layout="constrained")
    for place, student in enumerate(students, start=1):
        axes = figure.add_subplot(1, len(students), place)
        for (who, algorithm), points in lines.items():
            if who == student and points:
                mark = MARKS[list(colours).index(algorithm) % len(MARKS)] if len(points) <= 40 else None
                axes.plot(*zip(*points, strict=True), color=colours[algorithm], marker=mark, markersize=4, label=algorithm)
        if zero:
            axes.axhline(0, color=MUTED, linewidth=1, linestyle="--")
        axes.legend(frameon=False, fontsize=8)
        _finish(axes, f"{student} student", x, y, "y")
    return _png(figure)


def _colours(algorithms: Any) -> dict[str, str]:
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(dict.fromkeys(algorithms))}


def _finish(axes: Any, title: str, x: str, y: str, grid: str) -> None:
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
