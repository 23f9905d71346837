"""Plot quality against decoding speed, for a page of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from agents.reporting.comparison import TEACHER
from agents.reporting.style import INK, MUTED, PAGE, PALETTE, STYLE, png
from agents.reporting.tables import Row, metric_names

SHAPES = "osD^v"  # by student architecture
TITLES = {1: "One sentence at a time", 64: "Batches of 64 sentences"}


def points_of(rows: Sequence[Row], size: int) -> list[dict[str, Any]]:
    """One point per row and form that has a score and a speed in batches of ``size``.

    A point has ``student``, ``algorithm``, ``form``, ``speed``, ``score``, ``low`` and ``high``.
    """
    points = []
    for row in rows:
        for form, rates in row.get("speeds", {}).get(size, {}).items():
            width = form.removeprefix("beam ") if form.startswith("beam ") else "1"
            name = next((key for key in metric_names(row) if key.endswith(f"@{width}")), None)
            if name is not None:
                score = {"score": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
                system = {key: row[key] for key in ("student", "algorithm")}
                points.append({**system, "form": form, "speed": rates[0], **score})
    return points


@matplotlib.rc_context(STYLE | {"axes.grid.axis": "both"})
def quality_speed_png(rows: Sequence[Row], label: str) -> bytes:
    """Score against tokens per second, one panel per batch size; greedy unless a label says beam.

    Colors are algorithms, shapes are architectures, and hollow points are exported to int8. Bars
    are 95 % intervals.

    Args:
        rows: as from ``table_rows``.
        label: name of the score.
    """
    sizes = [size for size in TITLES if points_of(rows, size)]
    students = [row for row in rows if row["algorithm"] != TEACHER]
    algorithms = list(dict.fromkeys(row["algorithm"] for row in students))
    shapes = dict(zip(dict.fromkeys(row["student"] for row in students), SHAPES * 9, strict=False))
    colors = dict(zip(algorithms, PALETTE * 9, strict=False))
    figure = Figure(figsize=(4.7 * max(1, len(sizes)), 4.4), layout="constrained")
    panels = figure.subplots(1, max(1, len(sizes)), sharey=True, squeeze=False).flat
    for axes, size in zip(panels, sizes, strict=False):
        for point in points_of(rows, size):
            _draw(
                axes, point, colors.get(point["algorithm"], INK), shapes.get(point["student"], "*")
            )
        axes.set_xscale("log")
        axes.margins(x=0.12)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(title=TITLES[size], xlabel="output tokens per second")
        axes.tick_params(labelleft=True)
        axes.set_ylabel(label)
    figure.legend(handles=_legend(rows, colors, shapes), loc="outside lower center", ncols=5)
    return png(figure)


def _draw(axes: Axes, point: Row, color: str, shape: str) -> None:
    x, y, is_teacher = point["speed"], point["score"], point["algorithm"] == TEACHER
    below, above = max(0.0, y - point["low"]), max(0.0, point["high"] - y)
    fill = PAGE if point["form"] == "int8" else color
    axes.errorbar(
        *(x, y, [[below], [above]]),
        fmt="*" if is_teacher else shape,
        color=color,
        markerfacecolor=fill,
        markersize=11 if is_teacher else 6,
        elinewidth=0.8,
        alpha=0.95,
    )
    if is_teacher:
        text = f"teacher,\n{point['form']}"
        axes.annotate(text, (x, y), (9, 0), textcoords="offset points", va="center", fontsize=8)


def _legend(rows: Sequence[Row], colors: dict[str, str], shapes: dict[str, str]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=color, linewidth=4, label=algorithm)
        for algorithm, color in colors.items()
    ]
    plain: Any = {"linestyle": "none", "color": MUTED}
    handles += [Line2D([], [], marker=shape, label=name, **plain) for name, shape in shapes.items()]
    for student in dict.fromkeys(row["student"] for row in rows if row["form"] == "int8"):
        style: Any = {
            "marker": shapes[student],
            "markerfacecolor": PAGE,
            "label": f"{student}, int8",
        }
        handles.append(Line2D([], [], **style, **plain))
    return handles
