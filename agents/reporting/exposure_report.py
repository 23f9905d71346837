"""The results of ``experiments/exposure_bias.py`` as a slide-sized figure and a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from rich.table import Table
from rich.text import Text

from agents.evaluation.exposure_bias import EXPERTS, GRAM, ROLL_INS, STARTS
from agents.reporting.style import INK, MUTED, PALETTE, SLIDE, png
from textgen_env.terminal import escape_controls

COLORS = (PALETTE[1], PALETTE[0], *PALETTE[2:])  # one per run
DISTANCES = (0, 2, 8)  # tokens after the corrupted ones, in the table
DOTTED, DASHED = (0, (1, 1.2)), (0, (5, 1.5))
STYLES: dict[str, Any] = {
    "student": "-",
    "corrupted": "-",
    "reference": DOTTED,
    "clean": DOTTED,
    "teacher": DASHED,
}


@matplotlib.rc_context(SLIDE)
def exposure_bias_png(results: dict[str, Any]) -> bytes:
    """A PNG of 1920 × 1080 pixels with six panels.

    Colors are runs, line styles are roll-ins, and bands are 95 % intervals.
    """
    layout = ConstrainedLayoutEngine(
        w_pad=0.15, h_pad=0.15, wspace=0.04, hspace=0.05, rect=(0, 0, 1, 0.92)
    )
    figure = Figure(figsize=(16, 9), layout=layout)
    panels: list[Axes] = [*figure.subplots(2, 3).flat]
    excess, regret, disagreement, recovery, repetition, length = panels
    corrupted = results["settings"]["corrupt"]
    labels = (
        ("Accumulated error", "prefix length l", "excess, %ExAccErr≤(l)"),
        ("Regret", "position", "KL(o ‖ p), nats"),
        ("Disagreement", "position", "share of tokens"),
        ("Recovery", f"tokens after {corrupted} random tokens", "disagreement"),
        ("Repetition", "position", f"share of repeated {GRAM}-grams"),
        ("Length", "position", "share of texts this long"),
    )
    for axes, (title, x, y) in zip(panels, labels, strict=True):
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    reports = list(results["runs"].values())
    for report, color in zip(reports, colors(results), strict=True):
        by_position = report["by_position"]
        for expert in EXPERTS:
            accumulated = report["accumulated"][expert]["ex_acc_err"]
            plot_band(excess, accumulated, color, expert, shaded=True)
        for roll_in in ROLL_INS:
            plot_band(regret, by_position[roll_in]["regret"], color, roll_in)
            plot_band(disagreement, by_position[roll_in]["disagreement"], color, roll_in)
        for start in STARTS:
            plot_band(recovery, report["recovery"][start]["disagreement"], color, start, first=0)
        plot_band(repetition, by_position["student"]["repetition"], color, "student")
        plot_band(length, by_position["student"]["alive"], color, "student")
    for expert in EXPERTS:  # the experts' texts are the same for every student
        plot_band(repetition, reports[0]["by_position"][expert]["repetition"], MUTED, expert)
        plot_band(length, reports[0]["by_position"][expert]["alive"], MUTED, expert)
    longest = len(reports[0]["by_position"]["reference"]["alive"]["value"])
    for axes in (regret, disagreement, recovery):  # endless texts are visible in the other panels
        axes.set_xlim(0, longest + 1)
    excess.axhline(0, color=MUTED, linewidth=1)
    for axes in (regret, disagreement, recovery, repetition, length):
        axes.set_ylim(bottom=0)
    add_legend(figure, results)
    return png(figure)


def colors(results: dict[str, Any]) -> list[str]:
    """One color per run, repeating after the last."""
    return [COLORS[index % len(COLORS)] for index in range(len(results["runs"]))]


def plot_band(
    axes: Axes, band: dict[str, Any], color: str, roll_in: str, first: int = 1, shaded: bool = False
) -> None:
    """Plot a metric by position, from position ``first`` on, in the line style of ``roll_in``.

    Solid lines, those on the student's prefixes, get their 95 % band; others only if ``shaded``.
    """
    value, low, high = (np.array(band[name], dtype=float) for name in ("value", "low", "high"))
    x = np.arange(first, first + len(value))
    axes.plot(x, value, color=color, linewidth=2.5, linestyle=STYLES[roll_in])
    if shaded or STYLES[roll_in] == "-":
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def add_legend(figure: Figure, results: dict[str, Any]) -> None:
    """Explain colors and line styles above the panels."""
    styles = {
        "the student’s prefixes": "student",
        "references (uncorrupted)": "reference",
        "the teacher’s outputs": "teacher",
    }
    lines = [Line2D([], [], color=color, linewidth=5) for color in colors(results)]
    lines += [
        Line2D([], [], color=INK, linewidth=2.5, linestyle=STYLES[roll_in])
        for roll_in in styles.values()
    ]
    names = [*map(escape_controls, results["runs"]), *styles]
    figure.legend(
        lines, names, loc="upper left", ncols=len(lines), handlelength=2.2, columnspacing=1.4
    )


def exposure_bias_table(results: dict[str, Any]) -> Table:
    """Means by roll-in, ± half of their 95 % intervals; one section per run."""
    sentences = next(iter(results["runs"].values()))["sentences"]
    headings = ("prefixes of", "references", "the teacher", "the student")
    table = Table(*headings, box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.title = f"Exposure bias on {results['env']}, {sentences:,} sentences"
    units = {"disagreement": "", "regret": ", nats", "loss": ", nats", "repetition": ""}

    def add(label: str, bands: Iterable[dict[str, Any]], digits: int) -> None:
        table.add_row(label, *(format_band(band, digits) for band in bands))

    for name, report in results["runs"].items():
        table.add_row(Text(name, style="bold"))
        for metric, unit in units.items():
            add(metric + unit, (report["mean"][roll_in][metric] for roll_in in ROLL_INS), 3)
        add("tokens per text", (report["length"][roll_in] for roll_in in ROLL_INS), 1)
        ratios = (report["length_ratio"][expert] for expert in EXPERTS)
        add("length ratio, student / expert", ratios, 2)
        excess = (report["accumulated"][expert]["ex_acc_err"] for expert in EXPERTS)
        table.add_row("%ExAccErr≤(l)", *map(format_last, excess))
        table.add_row("", *(f"{distance} tokens after" for distance in DISTANCES))
        for start in STARTS:
            recovery = report["recovery"][start]["disagreement"]
            add(f"{start}: disagreement", [point(recovery, place) for place in DISTANCES], 3)
        table.add_section()
    return table


def point(band: dict[str, Any], position: int) -> dict[str, Any]:
    """The values of ``band`` at one position; None beyond its end."""
    return {
        name: values[position] if position < len(values) else None for name, values in band.items()
    }


def format_last(band: dict[str, Any]) -> str:
    """The last point of a curve, with its prefix length."""
    longest = len(band["value"])
    return f"{format_band(point(band, longest - 1), 0)}, l = {longest}"


def format_band(band: dict[str, Any], digits: int) -> str:
    """``0.213 ± 0.012``; ``0.213 ± –`` if all resamples are equal; a dash if there is no value."""
    if None in band.values():
        return "–"
    half = (band["high"] - band["low"]) / 2
    return f"{band['value']:.{digits}f} ± " + (f"{half:.{digits}f}" if half else "–")
