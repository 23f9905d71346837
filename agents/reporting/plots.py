"""Plot a run's logged metrics, one panel per metric, for ``curves.png`` and the HTML report."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from agents.reporting.facts import display_name, format_value
from agents.reporting.style import COLORS, INK, MARKERS, MUTED, PAGE, RULE, STYLE, png
from textgen_env.data.files import write_atomically
from textgen_env.terminal import escape_controls

# In an SVG, the colors are replaced by the page's CSS variables.
VARIABLES = {color: f"var(--{name})" for name, color in COLORS.items()}
VARIABLES |= {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)", PAGE: "var(--page)"}
PANEL = (4.8, 2.9)  # inches


@dataclass(frozen=True)
class Panel:
    """One metric over the training steps.

    Args:
        title: Panel title.
        keys: The logged key, drawn as a line; optionally its validation counterpart, as markers.
        low: Lower limit of the y-axis; None fits the data.
        high: Upper limit.
    """

    title: str
    keys: tuple[str, ...]
    low: float | None = None
    high: float | None = None

    def series(self, metrics: Sequence[dict[str, Any]]) -> dict[tuple[str, str], np.ndarray]:
        """Steps and values, ``{(phase, key): [2, N]}``; of a step logged twice, the later value."""
        series = {}
        for phase, key in itertools.product(COLORS, self.keys):
            rows = (
                row
                for row in metrics
                if row["phase"] == phase and isinstance(row.get(key), int | float)
            )
            if points := {row["step"]: float(row[key]) for row in rows if math.isfinite(row[key])}:
                series[phase, key] = np.array(sorted(points.items())).T  # [2, N]
        return series

    def describe(self, metrics: Sequence[dict[str, Any]]) -> str:
        """Alternative text for screen readers."""
        texts = []
        for (phase, key), (x, y) in self.series(metrics).items():
            name = f"{phase} validation" if key == "valid_loss" else phase
            change = f"from {format_value(y[0])} to {format_value(y[-1])}"
            texts.append(f"{name} {change} by step {x[-1]:,.0f}")
        return f"{self.title}: {'; '.join(texts)}."


def panels(metrics: Sequence[dict[str, Any]]) -> list[Panel]:
    """The panels for which ``metrics`` has data."""
    scores = dict.fromkeys(
        key for row in metrics for key in row if key.startswith("valid_") and key != "valid_loss"
    )
    candidates = [
        Panel("Loss", ("loss", "valid_loss")),
        *(
            Panel(f"Validation {display_name(key.removeprefix('valid_'))}", (key,))
            for key in scores
        ),
        Panel("β, the expert's share of the roll-ins", ("beta",), low=0, high=1),
        Panel("Training tokens per second", ("tokens_per_second",), low=0),
    ]
    return [panel for panel in candidates if panel.series(metrics)]


def averaged(points: np.ndarray, count: int) -> np.ndarray:
    """Average neighboring points: ``[2, N]`` → ``[2, min(N, count)]``."""
    groups = np.array_split(points, min(points.shape[1], count), axis=1)
    return np.stack([group.mean(axis=1) for group in groups], axis=1)


def draw_panel(axes: Axes, panel: Panel, metrics: Sequence[dict[str, Any]]) -> None:
    """Draw one panel, with each line labeled at its right end."""
    ends, values = [], []
    for (phase, key), points in panel.series(metrics).items():
        color, is_validation, count = COLORS[phase], key != panel.keys[0], points.shape[1]
        noisy = key in ("loss", "tokens_per_second") and count > 100
        if noisy:
            axes.plot(*averaged(points, 400), color=color, alpha=0.3, linewidth=0.6)
        line = averaged(points, 50) if noisy or is_validation else points
        has_markers = is_validation or count == 1 or (key.startswith("valid_") and count <= 40)
        style: Any = {
            "linestyle": "none" if is_validation else "-",
            "marker": MARKERS[phase] if has_markers else None,
            "markerfacecolor": PAGE if is_validation else color,
        }
        axes.plot(*line, color=color, linewidth=1.6, markersize=4, **style)
        ends.append((line[1, -1], f"{phase}, validation" if is_validation else phase, color))
        # The initial loss is far higher than the rest: leave it out of the y-range.
        is_loss = noisy and key == "loss"
        values += [line[1].min(), np.quantile(line[1], 0.96) if is_loss else points[1].max()]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    axes.set_ylim(
        low - margin if panel.low is None else panel.low,
        high + margin if panel.high is None else panel.high,
    )
    last = max(1, *(row["step"] for row in metrics))
    axes.set_xlim(-0.02 * last, 1.02 * last)
    axes.set_title(panel.title, pad=9)
    axes.set_xlabel("training step")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=axis is axes.xaxis))
        if axis is axes.xaxis or high >= 1000:
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    label_line_ends(axes, ends)


def label_line_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each line's name and last value at its right end, moved so that no labels overlap.

    Args:
        axes: Axes whose y-limits are final.
        ends: Last value, name and color of each line.
    """
    low, high = axes.get_ylim()
    gap = 0.105  # the height of a label in axes fraction
    ends = sorted(ends)
    wanted = [(min(max(value, low), high) - low) / (high - low) for value, *_ in ends]
    heights = list(itertools.accumulate(wanted, lambda below, height: max(height, below + gap)))
    # Undo half of the shift, without overlapping the tick labels of the x-axis.
    offset = min((heights[-1] - wanted[-1]) / 2, heights[0] - 0.04)
    style: Any = {"xycoords": "axes fraction", "va": "center", "fontsize": 9}
    for height, (value, name, color) in zip(heights, ends, strict=True):
        label = f"{name} {format_value(value)}"
        axes.annotate(label, (1.03, height - offset), color=color, **style)


@matplotlib.rc_context(STYLE)
def save_curves(folder: Path | str, metrics: Sequence[dict[str, Any]]) -> Path:
    """Write ``curves.png``, two panels per row, into the run folder.

    Args:
        folder: The run folder.
        metrics: The rows of ``metrics.jsonl``.
    """
    selected = panels(metrics)
    columns = min(2, len(selected)) or 1
    rows = math.ceil(len(selected) / columns) or 1
    figure = Figure(figsize=(PANEL[0] * columns + 0.3, PANEL[1] * rows + 0.2))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    for index, panel in enumerate(selected, start=1):
        draw_panel(figure.add_subplot(rows, columns, index), panel, metrics)
    if not selected:
        figure.text(0.5, 0.5, "nothing was logged", ha="center", color=MUTED)
    path = Path(folder) / "curves.png"
    write_atomically(path, png(figure))
    return path


@matplotlib.rc_context(STYLE)
def panel_svg(panel: Panel, metrics: Sequence[dict[str, Any]]) -> str:
    """One panel as an ``<svg>`` element that takes its colors from CSS variables."""
    figure = Figure(figsize=PANEL)
    figure.subplots_adjust(left=0.1, right=0.67, bottom=0.18, top=0.87)  # aligns the page's panels
    draw_panel(figure.add_subplot(), panel, metrics)
    return svg(figure, panel.describe(metrics))


@matplotlib.rc_context(STYLE | {"axes.grid.axis": "x"})
def interval_svg(scores: dict[str, tuple[float, float, float]], title: str) -> str:
    """Plot each model's score with its confidence interval, as an ``<svg>`` element.

    Args:
        scores: ``{"teacher": (score, low, high), …}``.
        title: The beginning of the alternative text.
    """
    figure = Figure(figsize=(3.2, 0.35 + 0.3 * len(scores)), layout="constrained")
    axes = figure.add_subplot(ylim=(-0.6, len(scores) - 0.4), xmargin=0.08)
    axes.set_yticks(range(len(scores)), list(reversed(scores)))
    for row, (model, label) in enumerate(
        zip(reversed(scores), axes.get_yticklabels(), strict=True)
    ):
        score, low, high = scores[model]
        axes.plot([low, high], [row, row], color=COLORS[model], linewidth=2.5)
        axes.plot([score], [row], color=COLORS[model], marker=MARKERS[model], markersize=7)
        label.set_color(COLORS[model])
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    texts = (
        f"{model} {score:.4g}, from {low:.4g} to {high:.4g}"
        for model, (score, low, high) in scores.items()
    )
    return svg(figure, f"{title}: {'; '.join(texts)}.")


def svg(figure: Figure, description: str) -> str:
    """The figure as an inline ``<svg>`` element with real text and colors from CSS variables.

    Strips the XML prolog, namespaces, fonts, duplicate ids and global styles.

    Args:
        figure: The figure.
        description: Alternative text for screen readers.
    """
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    file = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # Ids are hashes of the content and this salt: equal data give equal bytes, and ids are unique.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": description}):
        figure.savefig(file, format="svg", metadata=metadata)
    opening, body = re.split(r"(?<=>)", file.getvalue().partition("<svg")[2], maxsplit=1)
    view = opening[opening.index("viewBox") :].split('"')[1]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<g) id="[^"]*"', r"\1", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body).replace("xlink:href", "href")
    body = re.sub('#[0-9a-f]{6}(?=[;"])', lambda color: VARIABLES.get(color[0], color[0]), body)
    label = escape(escape_controls(description))
    return f'<svg role="img" aria-label="{label}" viewBox="{view}">{body}'
