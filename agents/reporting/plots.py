"""What a run logged, drawn: one small panel a quantity, the same for ``curves.png`` and for the page."""

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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from agents.reporting.facts import wording
from textgen_env.data.files import write_atomically
from textgen_env.terminal import visible

# Okabe and Ito's blue and vermilion, darkened until small text passes 4.5:1 on white; the SVG turns each into a CSS variable.
COLOURS = {"teacher": "#00639c", "student": "#b34700"}
INK, MUTED, RULE, PAGE = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
VARIABLES = {colour: f"var(--{name})" for name, colour in COLOURS.items()} | {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    PAGE: "var(--page)",
}
MARKERS = {"teacher": "s", "student": "o"}
PANEL = (4.8, 2.9)  # inches


@dataclass(frozen=True)
class Panel:
    """One quantity over the steps; the first key is a line, a second one (the same on validation data) points on it."""

    title: str
    keys: tuple[str, ...]
    low: float | None = None
    high: float | None = None

    def series(self, metrics: Sequence[dict[str, Any]]) -> dict[tuple[str, str], np.ndarray]:
        """``{(phase, key): [2, N]}``, steps and values; of a step that was logged twice (a resumed run) the later row."""
        found = {}
        for phase in COLOURS:
            for key in self.keys:
                rows = (row for row in metrics if row["phase"] == phase and isinstance(row.get(key), int | float))
                points = {row["step"]: float(row[key]) for row in rows if math.isfinite(row[key])}
                if points:
                    found[phase, key] = np.array(sorted(points.items())).T  # [2, N]
        return found

    def describe(self, metrics: Sequence[dict[str, Any]]) -> str:
        """The panel in words, for those who do not see it."""
        ends = [
            f"{phase}{' validation' if key == 'valid_loss' else ''} from {number(y[0])} to {number(y[-1])} by step {x[-1]:,.0f}"
            for (phase, key), (x, y) in self.series(metrics).items()
        ]
        return f"{self.title}: {'; '.join(ends)}."


def panels(metrics: Sequence[dict[str, Any]]) -> list[Panel]:
    """The panels that have something to show."""
    scores = dict.fromkeys(key for row in metrics for key in row if key.startswith("valid_") and key != "valid_loss")
    wanted = [
        Panel("Loss", ("loss", "valid_loss")),
        *(Panel(f"Validation {wording(key.removeprefix('valid_'))}", (key,)) for key in scores),
        Panel("β, the share of rows kept from the data", ("beta",), low=0, high=1),
        Panel("Training tokens per second", ("tokens_per_second",), low=0),
    ]
    return [panel for panel in wanted if panel.series(metrics)]


def number(value: float) -> str:
    """Three figures that fit a label: ``0.0123``, ``34.2``, ``6,930``."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def averaged(points: np.ndarray, most: int) -> np.ndarray:
    """``[2, N]`` → ``[2, min(N, most)]``: means over neighbouring points."""
    groups = np.array_split(points, min(points.shape[1], most), axis=1)
    return np.stack([group.mean(axis=1) for group in groups], axis=1)


def draw(axes: Axes, panel: Panel, metrics: Sequence[dict[str, Any]]) -> None:
    """Draw one panel, every line named where it ends."""
    ends, seen = [], []
    for (phase, key), points in panel.series(metrics).items():
        colour, second, count = COLOURS[phase], key != panel.keys[0], points.shape[1]
        noisy = key in ("loss", "tokens_per_second") and count > 100
        if noisy:
            axes.plot(*averaged(points, 400), color=colour, alpha=0.3, linewidth=0.6)
        line = averaged(points, 50) if noisy or second else points
        dotted = second or count == 1 or (key.startswith("valid_") and count <= 40)
        axes.plot(
            *line,
            color=colour,
            linewidth=1.6,
            linestyle="none" if second else "-",
            marker=MARKERS[phase] if dotted else None,
            markersize=4,
            markerfacecolor=PAGE if second else colour,
        )
        ends.append((line[1, -1], f"{phase}, validation" if second else phase, colour))
        # The first few steps of a loss are far above all that follows: let them start outside the frame.
        seen += [line[1].min(), np.quantile(line[1], 0.96) if noisy and key == "loss" else points[1].max()]
    last = max(1, *(row["step"] for row in metrics))
    axes.set_xlim(-0.02 * last, 1.02 * last)
    frame(axes, panel, min(seen), max(seen))
    name_ends(axes, ends)


def frame(axes: Axes, panel: Panel, lowest: float, highest: float) -> None:
    """Title, ticks, light horizontal rules, and nothing else."""
    margin = 0.06 * (highest - lowest) or 0.05 * abs(highest) or 0.5
    low = lowest - margin if panel.low is None else panel.low
    axes.set_ylim(low, highest + margin if panel.high is None else panel.high)
    axes.set_title(panel.title, loc="left", fontsize=10, color=INK, fontweight="bold", pad=9, parse_math=False)
    axes.set_xlabel("training step", fontsize=9, color=MUTED)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=axis is axes.xaxis))
        if axis is axes.xaxis or highest >= 1000:
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    bare(axes)
    axes.grid(axis="y", color=RULE, linewidth=0.6)


def bare(axes: Axes) -> None:
    """No box, no tick marks, quiet tick labels."""
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(length=0, labelsize=9, labelcolor=MUTED)


def name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write ``name value`` right of the frame at each line's last value, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    gap = 0.105  # one line of text, in heights of the frame
    ends = sorted(ends)
    wanted = [(min(max(value, low), high) - low) / (high - low) for value, *_ in ends]
    places = list(itertools.accumulate(wanted, lambda below, place: max(place, below + gap)))
    down = min((places[-1] - wanted[-1]) / 2, places[0] - 0.04)  # half the push back, but not into the ticks below
    for place, (value, who, colour) in zip(places, ends, strict=True):
        text = f"{who} {number(value)}"
        axes.annotate(text, (1.03, place - down), xycoords="axes fraction", va="center", fontsize=9, color=colour)


def curves(folder: Path | str, metrics: Sequence[dict[str, Any]]) -> Path:
    """Write ``curves.png`` (two panels a row) into the run folder.

    metrics: the rows of ``metrics.jsonl``.  A run that has logged nothing yet gets a figure that says so.
    """
    shown = panels(metrics)
    columns = min(2, len(shown)) or 1
    rows = math.ceil(len(shown) / columns) or 1
    figure = Figure(figsize=(PANEL[0] * columns + 0.3, PANEL[1] * rows + 0.2), dpi=160, facecolor=PAGE)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    FigureCanvasAgg(figure)
    for place, panel in enumerate(shown, start=1):
        draw(figure.add_subplot(rows, columns, place), panel, metrics)
    if not shown:
        figure.text(0.5, 0.5, "nothing was logged", ha="center", color=MUTED)
    image = io.BytesIO()
    figure.savefig(image, metadata={"Software": None})
    path = Path(folder) / "curves.png"
    write_atomically(path, image.getvalue())
    return path


def panel_svg(panel: Panel, metrics: Sequence[dict[str, Any]]) -> str:
    """One panel as an ``<svg>`` element whose colours are the page's CSS variables."""
    figure = Figure(figsize=PANEL, layout="constrained")
    draw(figure.add_subplot(), panel, metrics)
    return svg(figure, panel.describe(metrics))


def interval_svg(scores: dict[str, tuple[float, float, float]], title: str) -> str:
    """Each side's score as a dot on its interval: ``{"teacher": (score, low, high), …}`` → an ``<svg>`` element."""
    figure = Figure(figsize=(3.2, 0.35 + 0.3 * len(scores)), layout="constrained")
    axes = figure.add_subplot()
    sides = list(reversed(scores))
    for row, side in enumerate(sides):
        score, low, high = scores[side]
        axes.plot([low, high], [row, row], color=COLOURS[side], linewidth=2.5)
        axes.plot([score], [row], color=COLOURS[side], marker=MARKERS[side], markersize=7)
    axes.set_ylim(-0.6, len(sides) - 0.4)
    axes.margins(x=0.08)
    axes.set_yticks(range(len(sides)), sides)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    bare(axes)
    for text, side in zip(axes.get_yticklabels(), sides, strict=True):
        text.set_color(COLOURS[side])
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    words = "; ".join(f"{side} {score:.4g}, from {low:.4g} to {high:.4g}" for side, (score, low, high) in scores.items())
    return svg(figure, f"{title}: {words}.")


def svg(figure: Figure, description: str) -> str:
    """The figure as an ``<svg>`` element of a page: real text, colours from CSS variables, described for screen readers."""
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    written = io.StringIO()
    # Ids are hashed from their content and this salt: the same data give the same bytes, and no two figures share an id.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": description}):
        FigureCanvasSVG(figure).print_svg(written, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return themed(written.getvalue(), description)


def themed(text: str, description: str) -> str:
    """A figure's SVG file as an element: no prologue, namespaces, fonts, repeated ids, or style for the whole page."""
    body = text[text.index("<svg") :]
    view = re.search(r'viewBox="[^"]*"', body)
    assert view is not None
    body = body[body.index(">") + 1 :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<g) id="[^"]*"', r"\1", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body).replace("xlink:href", "href")
    body = re.sub('#[0-9a-f]{6}(?=[;"])', lambda colour: VARIABLES.get(colour[0], colour[0]), body)
    return f'<svg role="img" aria-label="{escape(visible(description))}" {view[0]}>{body}'
