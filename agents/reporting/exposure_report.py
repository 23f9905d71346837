"""The results of ``experiments/exposure_bias.py`` as a figure to be projected and as a table."""

from __future__ import annotations

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
from agents.reporting.style import INK, MUTED, SLIDE, png
from textgen_env.terminal import visible

COLORS = (
    "#b34700",
    "#00639c",
    "#00735c",
    "#9c3d7a",
    "#6b5900",
    "#59636e",
)  # one a run; dark enough for 4.5:1 on white
SINCE = (0, 2, 8)  # tokens after the corrupted ones, in the table
DOTTED, DASHED = (0, (1, 1.2)), (0, (5, 1.5))
STYLES: dict[str, Any] = {
    "student": "-",
    "corrupted": "-",
    "reference": DOTTED,
    "clean": DOTTED,
    "teacher": DASHED,
}


@matplotlib.rc_context(SLIDE)
def draw(results: dict[str, Any]) -> bytes:
    """The PNG of 1920 × 1080 pixels: six panels, a color a run, a line style a kind of prefix, 95 % bands."""
    layout = ConstrainedLayoutEngine(
        w_pad=0.15, h_pad=0.15, wspace=0.04, hspace=0.05, rect=(0, 0, 1, 0.92)
    )
    figure = Figure(figsize=(16, 9), layout=layout)
    panels: list[Axes] = [*figure.subplots(2, 3).flat]
    excess, regret, disagreement, recovery, repetition, length = panels
    corrupted_at, corrupted = (results["settings"][name] for name in ("corrupt_at", "corrupt"))
    labels = (
        ("Accumulated error", "prefix length l", "excess, %ExAccErr≤(l)"),
        ("Regret", "position", "KL(o ‖ p), nats"),
        ("Disagreement", "position", "share of tokens"),
        ("Recovery", f"tokens since {corrupted} random ones, after {corrupted_at}", "disagreement"),
        ("Repetition", "position", f"{GRAM} tokens generated before"),
        ("Length", "position", "share of texts as long"),
    )
    for axes, (title, x, y) in zip(panels, labels, strict=True):
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    reports = list(results["runs"].values())
    for report, color in zip(reports, colors(results), strict=True):
        by_position = report["by_position"]
        for expert in EXPERTS:
            line(excess, report["accumulated"][expert]["ex_acc_err"], color, expert, shaded=True)
        for who in ROLL_INS:
            line(regret, by_position[who]["regret"], color, who)
            line(disagreement, by_position[who]["disagreement"], color, who)
        for who in STARTS:
            line(recovery, report["recovery"][who]["disagreement"], color, who, start=0)
        line(repetition, by_position["student"]["repetition"], color, "student")
        line(length, by_position["student"]["alive"], color, "student")
    for expert in EXPERTS:  # the experts' texts are the same for every student
        line(repetition, reports[0]["by_position"][expert]["repetition"], MUTED, expert)
        line(length, reports[0]["by_position"][expert]["alive"], MUTED, expert)
    longest = len(reports[0]["by_position"]["reference"]["alive"]["value"])
    for axes in (regret, disagreement, recovery):  # who never ends shows in the other panels
        axes.set_xlim(0, longest + 1)
    excess.axhline(0, color=MUTED, linewidth=1)
    for axes in (regret, disagreement, recovery, repetition, length):
        axes.set_ylim(bottom=0)
    key(figure, results)
    return png(figure)


def colors(results: dict[str, Any]) -> list[str]:
    """One a run; they repeat after the sixth."""
    return [COLORS[place % len(COLORS)] for place in range(len(results["runs"]))]


def line(
    axes: Axes, band: dict[str, Any], color: str, who: str, start: int = 1, shaded: bool = False
) -> None:
    """A curve by position; with its 95 % band if ``shaded``, as are those on the student's prefixes."""
    value, low, high = (np.array(band[name], dtype=float) for name in ("value", "low", "high"))
    x = np.arange(start, start + len(value))
    axes.plot(x, value, color=color, linewidth=2.5, linestyle=STYLES[who])
    if shaded or STYLES[who] == "-":
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def key(figure: Figure, results: dict[str, Any]) -> None:
    """The meaning of colors and line styles, above the panels."""
    styles = {
        "the student’s prefixes": "student",
        "references (uncorrupted)": "reference",
        "the teacher’s outputs": "teacher",
    }
    lines = [Line2D([], [], color=color, linewidth=5) for color in colors(results)]
    lines += [
        Line2D([], [], color=INK, linewidth=2.5, linestyle=STYLES[who]) for who in styles.values()
    ]
    names = [*map(visible, results["runs"]), *styles]
    figure.legend(
        lines, names, loc="upper left", ncols=len(lines), handlelength=2.2, columnspacing=1.4
    )


def table(results: dict[str, Any]) -> Table:
    """Means by prefix, ± half of their 95 % intervals; a section a run."""
    sentences = next(iter(results["runs"].values()))["sentences"]
    shown = Table(
        "prefixes of", "references", "the teacher", "the student", box=None, padding=(0, 2, 0, 0)
    )
    shown.title, shown.title_justify = (
        f"Exposure bias on {results['env']}, {sentences:,} sentences",
        "left",
    )
    for name, report in results["runs"].items():
        shown.add_row(Text(name, style="bold"))
        for metric, unit in (
            ("disagreement", ""),
            ("regret", ", nats"),
            ("loss", ", nats"),
            ("repetition", ""),
        ):
            shown.add_row(
                metric + unit, *(interval(report["mean"][who][metric], 3) for who in ROLL_INS)
            )
        shown.add_row("tokens a text", *(interval(report["length"][who], 1) for who in ROLL_INS))
        shown.add_row(
            "student’s ÷ theirs", *(interval(report["length_ratio"][who], 2) for who in EXPERTS)
        )
        shown.add_row(
            "%ExAccErr≤(l)", *(last(report["accumulated"][who]["ex_acc_err"]) for who in EXPERTS)
        )
        shown.add_row("", *(f"{distance} tokens after" for distance in SINCE))
        for who in STARTS:
            band = report["recovery"][who]["disagreement"]
            shown.add_row(
                f"{who}: disagreement", *(interval(at(band, distance), 3) for distance in SINCE)
            )
        shown.add_section()
    return shown


def at(band: dict[str, Any], position: int) -> dict[str, Any]:
    """The band at one position; Nones beyond its end."""
    return {
        name: values[position] if position < len(values) else None for name, values in band.items()
    }


def last(band: dict[str, Any]) -> str:
    """A curve's last point, with its prefix length."""
    longest = len(band["value"])
    return f"{interval(at(band, longest - 1), 0)}, l = {longest}"


def interval(band: dict[str, Any], digits: int) -> str:
    """``0.213 ± 0.012``; ``0.213 ± –`` where no resample differs, and a dash where there is no number."""
    if None in band.values():
        return "–"
    half = (band["high"] - band["low"]) / 2
    return f"{band['value']:.{digits}f} ± " + (f"{half:.{digits}f}" if half else "–")
