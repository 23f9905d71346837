"""The results of ``experiments/t2_bound.py`` in one slide-sized figure."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullLocator, StrMethodFormatter

from agents.reporting.style import INK, MUTED, PALETTE, SLIDE, png
from agents.theory.lab import RegretCurve
from agents.theory.neural import LEARNERS

DAGGER, CLONING, SHARED, STEP = PALETTE[:4]
NOTE: Any = {"fontsize": 16}
EXPONENTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
Curves = dict[tuple[str, str], RegretCurve]  # (setting, learner) → curve


@matplotlib.rc_context(SLIDE | {"text.parse_math": True})  # powers of ten in tick labels
def t2_bound_png(results: dict[str, Any]) -> bytes:
    """A PNG of 1920 × 1080 pixels with four panels."""
    layout = ConstrainedLayoutEngine(w_pad=0.18, h_pad=0.18, wspace=0.04, hspace=0.04)
    figure = Figure(figsize=(16, 9), layout=layout)
    ((horizon, proof), (free, mixtures)) = figure.subplots(2, 2)
    curves = {
        (curve.setting, curve.learner): curve
        for curve in results["curves"]
        if curve.kind == "exact"
    }
    horizon_panel(horizon, curves, results["settings"]["epsilon"])
    if "students" in results:
        add_students(horizon, results)
    proof_panel(proof, curves, results["cost_by_step"])
    horizon_free_panel(free, curves, results["settings"]["demonstrations"])
    mixture_panel(mixtures, results["mixtures"])
    return png(figure)


def horizon_panel(axes: Axes, curves: Curves, epsilon: float) -> None:
    """Regret by T with recoverable falls, both bounds, and reference lines with slopes 1 and 2."""
    cloning, dagger = curves["recoverable", "cloning"], curves["recoverable", "DAgger"]
    for curve, color, exponent in ((cloning, CLONING, 2), (dagger, DAGGER, 1)):
        plot_curve(axes, curve, color, curve.learner)
        T = np.array(curve.horizon[len(curve.horizon) // 2 :])
        reference = curve.regret[-1] / 3 * (T / T[-1]) ** exponent
        axes.loglog(T, reference, color=MUTED, linewidth=1.5, linestyle="--")
        label, end = "∝ T²" if exponent == 2 else "∝ T", (T[-1], reference[-1])
        annotate(axes, label, end, (-8, -16), color=MUTED, va="center")
    above: Any = {"ha": "right", "va": "bottom"}
    start = (cloning.horizon[1], cloning.bound[1])
    annotate(axes, cloning.theorem, start, (-4, 4), color=CLONING, **above)
    start = (dagger.horizon[2], dagger.bound[2])
    annotate(axes, dagger.theorem, start, (4, -6), color=DAGGER, va="top")
    exponent = np.log10(epsilon)
    power = f"{epsilon:g}" if exponent % 1 else "10" + f"{exponent:.0f}".translate(EXPONENTS)
    title = "Equal error per step: T² or T"
    axes.set(title=title, ylabel=f"regret (lines: ε = {power})")
    set_horizon_axes(axes, cloning.horizon)


def add_students(axes: Axes, results: dict[str, Any]) -> None:
    """Add the trained students' regret as hollow markers, with their measured ε.

    As in the theorems, the ε of behavioral cloning is on the expert's states, and DAgger's on its
    own.
    """
    students = [curve for curve in results["curves"] if curve.kind == "neural"]
    measured = []
    markers: Any = {"linewidth": 2, "marker": "o", "markersize": 10, "mfc": "white", "mew": 3}
    box = {"fc": "white", "ec": "none", "pad": 1}
    for curve in students:
        is_cloning = curve.learner == "cloning"
        key, color = ("error_expert", CLONING) if is_cloning else ("error_own", DAGGER)
        rows = [row for row in results["students"] if LEARNERS[row["learner"]] == curve.learner]
        measured.append(f"{np.mean([row[key] for row in rows]):#.2g} ({curve.learner})")
        axes.loglog(curve.horizon, curve.regret, color=color, **markers)
        label, end = f"{curve.slope.value:.2f}", (curve.horizon[-1], curve.regret[-1])
        annotate(axes, label, end, (12, 0), color=color, va="center", weight="bold", bbox=box)
    first, longest = min(students[0].horizon), results["settings"]["longest"]
    ticks = [first * 4**k for k in range(8) if first * 4**k <= longest]
    axes.set_xlim(left=first / 1.3)
    axes.set_xticks(ticks, [f"{T:,}" for T in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    note = "○ trained students, slopes,\n    ε = " + ",\n    ".join(measured)
    axes.text(0.02, 0.98, note, transform=axes.transAxes, va="top", color=INK, **NOTE)


def proof_panel(axes: Axes, curves: Curves, costs: dict[str, list[float]]) -> None:
    """Expected cost at each step: for small T ε, a triangle of ½ T² ε and a band of u T ε."""
    T, top = len(costs["cloning"]), max(costs["cloning"])
    areas = {}
    for learner, color in (("cloning", CLONING), ("DAgger", DAGGER)):
        cost, curve = costs[learner], curves["recoverable", learner]
        axes.fill_between(range(1, T + 1), cost, color=color, alpha=0.18, linewidth=0)
        axes.plot(range(1, T + 1), cost, color=color, linewidth=3)
        areas[learner] = f"area {sum(cost):.3g} = {sum(cost) / curve.bound[-1]:.2f} {curve.theorem}"
    bold: Any = {"ha": "right", "weight": "bold"}
    axes.text(T * 0.97, top * 0.28, areas["cloning"], color=CLONING, fontsize=18, **bold)
    note = "cloning: no labels\nfor fallen states"
    axes.text(T * 0.02, top * 0.72, note, color=CLONING, **NOTE)
    label = f"DAgger: {areas['DAgger']}"
    annotate(axes, label, (T, 0), (-6, 9), color=DAGGER, va="bottom", **bold)
    labels = {"xlabel": f"step t of T = {T:,}", "ylabel": "expected cost at step t"}
    axes.set(title="Where T² comes from", xlim=(0, T * 1.01), ylim=(0, top * 1.05), **labels)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def horizon_free_panel(axes: Axes, curves: Curves, demonstrations: int) -> None:
    """Regret of cloning by log loss by T if an episode's total cost is in [0, 1]."""
    shared, separate = (
        curve for (setting, _), curve in curves.items() if setting == "permanent, R=1"
    )
    for curve, color, label in (
        (shared, SHARED, "one policy\nfor all steps"),
        (separate, CLONING, "one policy\nper step"),
    ):
        plot_curve(axes, curve, color, label)
        start = (curve.horizon[1], curve.bound[1])
        annotate(axes, curve.theorem, start, (-4, 4), color=color, ha="right", va="bottom")
    title = "Log-loss cloning can be horizon-free"
    axes.set(title=title, ylabel=f"regret, R = 1, n = {demonstrations:,}")
    set_horizon_axes(axes, shared.horizon)
    low, high = axes.get_ylim()
    axes.set_ylim(low / 2, high)
    note = "if the expert is deterministic,\nin the class, and neither R\nnor log |Π| grows with T"
    axes.text(0.33, 0.26, note, transform=axes.transAxes, va="bottom", color=SHARED, **NOTE)


def mixture_panel(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Regret after training by β schedule (y-axis) and coin granularity (markers)."""
    schedules = list(dict.fromkeys(row["schedule"] for row in rows))
    style = {  # granularity → color, marker, size, offset
        "step": (STEP, "s", 14.0, 0.0),
        "sequence": (DAGGER, "o", 11.0, 0.0),
        "batch": (MUTED, "|", 11.0, 0.3),
    }
    labels = {  # (granularity, schedule) → value to label, offset in points, alignment
        ("step", "linear to 0"): ("regret", 14, "left"),
        ("sequence", "linear to 0"): ("regret", -12, "right"),
        ("batch", "constant 1/2"): ("high", 8, "left"),
    }
    for row in rows:
        color, marker, size, offset = style[row["granularity"]]
        y = schedules.index(row["schedule"]) + offset
        span = [row["low"], row["high"]]
        axes.plot(span, [y, y], color=color, linewidth=3, solid_capstyle="butt")
        axes.plot(row["regret"], y, color=color, marker=marker, markersize=size, markeredgewidth=2)
        if label := labels.get((row["granularity"], row["schedule"])):
            key, shift, alignment = label
            bold: Any = {"ha": alignment, "va": "center", "weight": "bold"}
            text = f"per {row['granularity']}"
            annotate(axes, text, (row[key], y), (shift, 0), color=color, **bold)
    axes.set(title="A coin per step hides the falls", xscale="log", ylabel="β, expert probability")
    axes.set_xlabel(f"regret after training, T = {rows[0]['horizon']}")
    ticks = (0.02, 0.05, 0.1, 0.2, 0.5, 1)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    names = [name.replace("exponential", "exp.").replace(" (cloning)", "") for name in schedules]
    axes.set_yticks(range(len(schedules)), names)
    axes.set_xlim(min(row["low"] for row in rows) / 2, max(row["high"] for row in rows) * 1.3)
    axes.set_ylim(len(schedules) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")


def plot_curve(axes: Axes, curve: RegretCurve, color: str, label: str) -> None:
    """Plot regret with its slope at the right end, and the bound as a dotted line."""
    axes.loglog(curve.horizon, curve.bound, color=color, linewidth=2, linestyle=(0, (1, 1.5)))
    axes.loglog(curve.horizon, curve.regret, color=color, linewidth=3.5, marker="o", markersize=9)
    text = f"{label}\nslope {curve.slope.value:.2f}".replace("-", "−")
    end = (curve.horizon[-1], curve.regret[-1])
    annotate(axes, text, end, (14, 0), color=color, va="center", weight="bold")


def annotate(
    axes: Axes, text: str, point: tuple[float, float], offset: tuple[float, float], **style: Any
) -> None:
    """Write ``text`` at ``offset``, in points, from ``point``."""
    axes.annotate(text, point, offset, textcoords="offset points", **NOTE, **style)


def set_horizon_axes(axes: Axes, horizons: list[int]) -> None:
    """Label log–log axes over T and leave room for the curves' labels on the right."""
    axes.set(xlabel="horizon T", xlim=(horizons[0] / 1.3, horizons[-1] * 5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xticks(horizons, [f"{T:,}" for T in horizons])
