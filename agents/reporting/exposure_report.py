"""The results of ``experiments/exposure_bias.py`` as a figure to be projected and as a table."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from rich.table import Table
from rich.text import Text

from agents.evaluation.exposure_bias import EXPERTS, GRAM, ROLL_INS, STARTS
from agents.theory.figure import INK, MUTED, SMALL, frame, title
from textgen_env.terminal import visible

COLOURS = ("#b34700", "#00639c", "#00735c", "#9c3d7a", "#6b5900", "#59636e")  # Okabe and Ito's, darkened: 4.5:1 on white
SINCE = (0, 2, 8)  # tokens after the corrupted ones, in the table
STYLES: dict[str, Any] = {
    "student": "-",
    "corrupted": "-",
    "reference": (0, (1, 1.2)),
    "clean": (0, (1, 1.2)),
    "teacher": (0, (5, 1.5)),
}


def draw(results: dict[str, Any]) -> bytes:
    """The PNG of 1920 × 1080 pixels: six panels, a colour a run, a line style a kind of prefix, 95 % bands."""
    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15, wspace=0.04, hspace=0.05, rect=(0, 0, 1, 0.92))
    figure = Figure(figsize=(16, 9), dpi=120, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    excess, regret, disagreement, recovery, repetition, length = figure.subplots(2, 3).flat
    at, corrupt = (results["settings"][name] for name in ("corrupt_at", "corrupt"))
    panel(excess, "Accumulated error", "prefix length l", "excess, %ExAccErr≤(l)")
    panel(regret, "Regret", "position", "KL(o ‖ p), nats")
    panel(disagreement, "Disagreement", "position", "share of tokens")
    panel(recovery, "Recovery", f"tokens since {corrupt} random ones, after {at}", "disagreement")
    panel(repetition, "Repetition", "position", f"{GRAM} tokens written before")
    panel(length, "Length", "position", "share of texts as long")
    reports = list(results["runs"].values())
    for report, colour in zip(reports, colours(results), strict=True):
        by_position = report["by_position"]
        for expert in EXPERTS:
            line(excess, report["accumulated"][expert]["ex_acc_err"], colour, expert, shaded=True)
        for who in ROLL_INS:
            line(regret, by_position[who]["regret"], colour, who)
            line(disagreement, by_position[who]["disagreement"], colour, who)
        for who in STARTS:
            line(recovery, report["recovery"][who]["disagreement"], colour, who, start=0)
        line(repetition, by_position["student"]["repetition"], colour, "student")
        line(length, by_position["student"]["alive"], colour, "student")
    for expert in EXPERTS:  # what the experts write is the same for every student
        line(repetition, reports[0]["by_position"][expert]["repetition"], MUTED, expert)
        line(length, reports[0]["by_position"][expert]["alive"], MUTED, expert)
    longest = len(reports[0]["by_position"]["reference"]["alive"]["value"])
    for axes in (regret, disagreement, recovery):  # who never ends shows in the other panels
        axes.set_xlim(0, longest + 1)
    excess.axhline(0, color=MUTED, linewidth=1)
    for axes in (regret, disagreement, recovery, repetition, length):
        axes.set_ylim(bottom=0)
    key(figure, results)
    written = io.BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})
    return written.getvalue()


def colours(results: dict[str, Any]) -> list[str]:
    """One a run; they repeat after the sixth."""
    return [COLOURS[place % len(COLOURS)] for place in range(len(results["runs"]))]


def panel(axes: Axes, name: str, x: str, y: str) -> None:
    """An empty panel."""
    title(axes, name)
    frame(axes, x, y)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def line(axes: Axes, band: dict[str, Any], colour: str, who: str, start: int = 1, shaded: bool = False) -> None:
    """A curve by position; with its 95 % band if ``shaded``, as are those of what the student writes."""
    value, low, high = (np.array(band[name], dtype=float) for name in ("value", "low", "high"))
    x = np.arange(start, start + len(value))
    axes.plot(x, value, color=colour, linewidth=2.5, linestyle=STYLES[who])
    if shaded or STYLES[who] == "-":
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def key(figure: Figure, results: dict[str, Any]) -> None:
    """What colours and line styles mean, above the panels."""
    lines = [Line2D([], [], color=colour, linewidth=5) for colour in colours(results)]
    names = [visible(name).replace("$", r"\$") for name in results["runs"]]  # a folder's name is no formula
    styles = {"the student’s prefixes": "student", "references (uncorrupted)": "reference", "the teacher’s outputs": "teacher"}
    lines += [Line2D([], [], color=INK, linewidth=2.5, linestyle=STYLES[who]) for who in styles.values()]
    figure.legend(
        lines,
        [*names, *styles],
        loc="upper left",
        ncols=len(lines),
        fontsize=SMALL,
        frameon=False,
        handlelength=2.2,
        columnspacing=1.4,
    )


def table(results: dict[str, Any]) -> Table:
    """Means by whose prefixes they are on, ± half of their 95 % intervals; a section a run."""
    sentences = next(iter(results["runs"].values()))["sentences"]
    shown = Table("prefixes of", "references", "the teacher", "the student", box=None, padding=(0, 2, 0, 0))
    shown.title, shown.title_justify = f"Exposure bias on {results['env']}, {sentences:,} sentences", "left"
    for name, report in results["runs"].items():
        shown.add_row(Text(name, style="bold"))
        for figure, unit in (("disagreement", ""), ("regret", ", nats"), ("loss", ", nats"), ("repetition", "")):
            shown.add_row(figure + unit, *(interval(report["mean"][who][figure], 3) for who in ROLL_INS))
        shown.add_row("tokens a text", *(interval(report["length"][who], 1) for who in ROLL_INS))
        shown.add_row("student’s ÷ theirs", *(interval(report["length_ratio"][who], 2) for who in EXPERTS))
        shown.add_row("%ExAccErr≤(l)", *(last(report["accumulated"][who]["ex_acc_err"]) for who in EXPERTS))
        shown.add_row("", *(f"{distance} tokens after" for distance in SINCE))
        for who in STARTS:
            band = report["recovery"][who]["disagreement"]
            shown.add_row(f"{who}: disagreement", *(interval(at(band, distance), 3) for distance in SINCE))
        shown.add_section()
    return shown


def at(band: dict[str, Any], position: int) -> dict[str, Any]:
    """The band at one position; Nones beyond its end."""
    return {name: values[position] if position < len(values) else None for name, values in band.items()}


def last(band: dict[str, Any]) -> str:
    """A curve's last point, with its prefix length."""
    longest = len(band["value"])
    return f"{interval(at(band, longest - 1), 0)}, l = {longest}"


def interval(band: dict[str, Any], digits: int) -> str:
    """``0.213 ± 0.012``; ``0.213 ± –`` where no resample differs, and a dash where there is no number."""
    if None in band.values():
        return "–"
    if band["high"] == band["low"]:
        return f"{band['value']:.{digits}f} ± –"
    return f"{band['value']:.{digits}f} ± {(band['high'] - band['low']) / 2:.{digits}f}"
