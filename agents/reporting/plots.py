"""What a run logged, drawn: one small panel a metric, the same for ``curves.png`` and for the page."""

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

from agents.reporting.facts import amount, wording
from agents.reporting.style import COLORS, INK, MARKERS, MUTED, PAGE, RULE, STYLE, png
from textgen_env.data.files import write_atomically
from textgen_env.terminal import visible

# The SVG's colors become the page's CSS variables.
VARIABLES = {color: f"var(--{name})" for name, color in COLORS.items()}
VARIABLES |= {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)", PAGE: "var(--page)"}
PANEL = (4.8, 2.9)  # inches


@dataclass(frozen=True)
class Panel:
    """One metric over the steps; the first key is a line, a second one (the same on validation data) points on it."""

    title: str
    keys: tuple[str, ...]
    low: float | None = None
    high: float | None = None

    def series(self, metrics: Sequence[dict[str, Any]]) -> dict[tuple[str, str], np.ndarray]:
        """``{(phase, key): [2, N]}``, steps and values; of a step that was logged twice (a resumed run) the later row."""
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
        """The panel in words, for those who do not see it."""
        ends = [
            f"{phase}{' validation' if key == 'valid_loss' else ''} from {amount(y[0])} to {amount(y[-1])} by step {x[-1]:,.0f}"
            for (phase, key), (x, y) in self.series(metrics).items()
        ]
        return f"{self.title}: {'; '.join(ends)}."


def panels(metrics: Sequence[dict[str, Any]]) -> list[Panel]:
    """The panels that have something to show."""
    scores = dict.fromkeys(
        key for row in metrics for key in row if key.startswith("valid_") and key != "valid_loss"
    )
    every = [
        Panel("Loss", ("loss", "valid_loss")),
        *(Panel(f"Validation {wording(key.removeprefix('valid_'))}", (key,)) for key in scores),
        Panel("β, the share of rows kept from the data", ("beta",), low=0, high=1),
        Panel("Training tokens per second", ("tokens_per_second",), low=0),
    ]
    return [panel for panel in every if panel.series(metrics)]


def averaged(points: np.ndarray, count: int) -> np.ndarray:
    """``[2, N]`` → ``[2, min(N, count)]``: means over neighboring points."""
    groups = np.array_split(points, min(points.shape[1], count), axis=1)
    return np.stack([group.mean(axis=1) for group in groups], axis=1)


def draw(axes: Axes, panel: Panel, metrics: Sequence[dict[str, Any]]) -> None:
    """Draw one panel, every line named where it ends."""
    ends, values = [], []
    for (phase, key), points in panel.series(metrics).items():
        color, second, count = COLORS[phase], key != panel.keys[0], points.shape[1]
        noisy = key in ("loss", "tokens_per_second") and count > 100
        if noisy:
            axes.plot(*averaged(points, 400), color=color, alpha=0.3, linewidth=0.6)
        line = averaged(points, 50) if noisy or second else points
        dotted = second or count == 1 or (key.startswith("valid_") and count <= 40)
        look: Any = {
            "linestyle": "none" if second else "-",
            "markerfacecolor": PAGE if second else color,
        }
        axes.plot(
            *line,
            color=color,
            linewidth=1.6,
            marker=MARKERS[phase] if dotted else None,
            markersize=4,
            **look,
        )
        ends.append((line[1, -1], f"{phase}, validation" if second else phase, color))
        # The first few steps of a loss are far above all that follows: let them start outside the frame.
        values += [
            line[1].min(),
            np.quantile(line[1], 0.96) if noisy and key == "loss" else points[1].max(),
        ]
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
    name_ends(axes, ends)


def name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write ``name value`` right of the frame at each line's last value, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    gap = 0.105  # one line of text, in heights of the frame
    ends = sorted(ends)
    wanted = [(min(max(value, low), high) - low) / (high - low) for value, *_ in ends]
    places = list(itertools.accumulate(wanted, lambda below, place: max(place, below + gap)))
    down = min(
        (places[-1] - wanted[-1]) / 2, places[0] - 0.04
    )  # half the push back, but not into the ticks below
    for place, (value, who, color) in zip(places, ends, strict=True):
        text = f"{who} {amount(value)}"
        axes.annotate(
            text,
            (1.03, place - down),
            xycoords="axes fraction",
            va="center",
            fontsize=9,
            color=color,
        )


@matplotlib.rc_context(STYLE)
def curves(folder: Path | str, metrics: Sequence[dict[str, Any]]) -> Path:
    """Write ``curves.png`` (two panels a row) into the run folder.

    metrics: the rows of ``metrics.jsonl``.  A run that has logged nothing yet gets a figure that says so.
    """
    shown = panels(metrics)
    columns = min(2, len(shown)) or 1
    rows = math.ceil(len(shown) / columns) or 1
    figure = Figure(figsize=(PANEL[0] * columns + 0.3, PANEL[1] * rows + 0.2))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    for place, panel in enumerate(shown, start=1):
        draw(figure.add_subplot(rows, columns, place), panel, metrics)
    if not shown:
        figure.text(0.5, 0.5, "nothing was logged", ha="center", color=MUTED)
    path = Path(folder) / "curves.png"
    write_atomically(path, png(figure))
    return path


@matplotlib.rc_context(STYLE)
def panel_svg(panel: Panel, metrics: Sequence[dict[str, Any]]) -> str:
    """One panel as an ``<svg>`` element whose colors are the page's CSS variables."""
    figure = Figure(figsize=PANEL, layout="constrained")
    draw(figure.add_subplot(), panel, metrics)
    return svg(figure, panel.describe(metrics))


@matplotlib.rc_context(STYLE | {"axes.grid.axis": "x"})
def interval_svg(scores: dict[str, tuple[float, float, float]], title: str) -> str:
    """Each side's score as a dot on its interval: ``{"teacher": (score, low, high), …}`` → an ``<svg>`` element."""
    figure = Figure(figsize=(3.2, 0.35 + 0.3 * len(scores)), layout="constrained")
    axes = figure.add_subplot(ylim=(-0.6, len(scores) - 0.4), xmargin=0.08)
    axes.set_yticks(range(len(scores)), list(reversed(scores)))
    for row, (side, label) in enumerate(zip(reversed(scores), axes.get_yticklabels(), strict=True)):
        score, low, high = scores[side]
        axes.plot([low, high], [row, row], color=COLORS[side], linewidth=2.5)
        axes.plot([score], [row], color=COLORS[side], marker=MARKERS[side], markersize=7)
        label.set_color(COLORS[side])
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    words = "; ".join(
        f"{side} {score:.4g}, from {low:.4g} to {high:.4g}"
        for side, (score, low, high) in scores.items()
    )
    return svg(figure, f"{title}: {words}.")


def svg(figure: Figure, description: str) -> str:
    """The figure as an ``<svg>`` element of a page: real text, colors from CSS variables, described for screen readers.

    No prologue, namespaces, fonts, repeated ids, or style for the whole page.
    """
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    file = io.StringIO()
    # Ids are hashed from their content and this salt: the same data give the same bytes, and no two figures share an id.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": description}):
        figure.savefig(
            file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    opening, body = re.split(r"(?<=>)", file.getvalue().partition("<svg")[2], maxsplit=1)
    view = opening[opening.index("viewBox") :].split('"')[1]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<g) id="[^"]*"', r"\1", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body).replace("xlink:href", "href")
    body = re.sub('#[0-9a-f]{6}(?=[;"])', lambda color: VARIABLES.get(color[0], color[0]), body)
    return f'<svg role="img" aria-label="{escape(visible(description))}" viewBox="{view}">{body}'
