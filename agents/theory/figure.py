"""The T² laboratory in one figure to be projected: what a horizon costs, where the square comes from, two ways out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, NullLocator

from agents.theory.lab import Curve
from agents.theory.neural import LEARNERS

# Okabe and Ito's palette, the orange and green darkened until text passes 4.5:1 on white; every line is named where it runs.
CLONING, DAGGER, SHARED, STEP = "#b34700", "#00639c", "#00735c", "#9c3d7a"
INK, MUTED, RULE = "#1f2328", "#59636e", "#d1d9e0"
TEXT, SMALL, HEAD = 18, 16, 21  # points, on a page of 16 × 9 inches


def draw(results: dict[str, Any]) -> bytes:
    """The PNG of 1920 × 1080 pixels for the ``results`` of ``experiments/t2_bound.py``."""
    layout = ConstrainedLayoutEngine(w_pad=0.18, h_pad=0.18, wspace=0.04, hspace=0.04)
    figure = Figure(figsize=(16, 9), dpi=120, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    curves = {(curve.setting, curve.learner): curve for curve in results["curves"] if curve.kind == "exact"}
    horizon_panel(axes[0, 0], curves, results["settings"]["epsilon"])
    if "students" in results:
        trained_points(axes[0, 0], results)
    proof_panel(axes[0, 1], curves, results["cost_by_step"])
    free_panel(axes[1, 0], curves, results["settings"]["demonstrations"])
    mixture_panel(axes[1, 1], results["mixtures"])
    written = io.BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})
    return written.getvalue()


def horizon_panel(axes: Axes, curves: dict[tuple[str, str], Curve], epsilon: float) -> None:
    """Regret over T on the rope that one can climb back on, with both bounds and both reference slopes."""
    cloning, dagger = curves["climb back", "cloning"], curves["climb back", "DAgger"]
    for curve, colour in ((cloning, CLONING), (dagger, DAGGER)):
        line(axes, curve, colour, curve.learner)
    reference(axes, cloning, 2, "∝ T²")
    reference(axes, dagger, 1, "∝ T")
    axes.annotate(cloning.theorem, (cloning.horizon[1], cloning.bound[1]), (-4, 4), **beside(CLONING, "right"), va="bottom")
    axes.annotate(dagger.theorem, (dagger.horizon[2], dagger.bound[2]), (4, -6), **beside(DAGGER, "left"), va="top")
    title(axes, "The same error a step: T² or T")
    over_horizons(axes, cloning.horizon, f"regret (lines: ε = {power(epsilon)})")


def trained_points(axes: Axes, results: dict[str, Any]) -> None:
    """The students' regret on the same axes, hollow, with the ε that was measured of them.

    A clone's ε is that on the expert's states, DAgger's that on its own, as in their theorems.
    """
    trained = [curve for curve in results["curves"] if curve.kind == "neural"]
    measured = []
    for curve in trained:
        where = "error_expert" if curve.learner == "cloning" else "error_own"
        errors = [row[where] for row in results["students"] if LEARNERS[row["learner"]] == curve.learner]
        measured.append(f"{sum(errors) / len(errors):#.2g} ({curve.learner})")
        colour = CLONING if curve.learner == "cloning" else DAGGER
        axes.loglog(curve.horizon, curve.regret, color=colour, linewidth=2, marker="o", markersize=10, mfc="white", mew=3)
        place = {
            "va": "center",
            "fontweight": "bold",
            "bbox": {"fc": "white", "ec": "none", "pad": 1},
            **beside(colour, "left"),
        }
        axes.annotate(f"{curve.slope.value:.2f}", (curve.horizon[-1], curve.regret[-1]), (12, 0), **place)
    first, longest = min(trained[0].horizon), results["settings"]["longest"]
    ticks = [first * 4**k for k in range(8) if first * 4**k <= longest]
    axes.set_xlim(left=first / 1.3)
    axes.set_xticks(ticks, [f"{T:,}" for T in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    note = "○ trained students, measured\n    ε = " + ",\n    ".join(measured) + ": slopes"
    axes.text(0.02, 0.98, note, transform=axes.transAxes, va="top", color=INK, fontsize=SMALL)


def proof_panel(axes: Axes, curves: dict[tuple[str, str], Curve], costs: dict[str, list[float]]) -> None:
    """Expected cost at each step: while T ε is small, a triangle of ½ T² ε and a strip of u T ε."""
    steps, top = len(costs["cloning"]), max(costs["cloning"])
    for learner, colour in (("cloning", CLONING), ("DAgger", DAGGER)):
        axes.fill_between(range(1, steps + 1), costs[learner], color=colour, alpha=0.18, linewidth=0)
        axes.plot(range(1, steps + 1), costs[learner], color=colour, linewidth=3)
    area = {}
    for learner, cost in costs.items():
        curve = curves["climb back", learner]
        area[learner] = f"{sum(cost):.3g} = {sum(cost) / curve.bound[-1]:.2f} {curve.theorem}"
    axes.text(steps * 0.97, top * 0.28, f"area {area['cloning']}", color=CLONING, fontsize=TEXT, ha="right", fontweight="bold")
    axes.text(steps * 0.02, top * 0.72, "cloning, off the rope:\nnever shown the way back", color=CLONING, fontsize=SMALL)
    place = {"va": "bottom", "fontweight": "bold", **beside(DAGGER, "right")}
    axes.annotate(f"DAgger: area {area['DAgger']}", (steps, 0), (-6, 9), **place)
    title(axes, "Where the square comes from")
    frame(axes, f"step t of T = {steps:,}", "expected cost at step t")
    axes.set_xlim(0, steps * 1.01)
    axes.set_ylim(0, top * 1.05)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def free_panel(axes: Axes, curves: dict[tuple[str, str], Curve], demonstrations: int) -> None:
    """Regret of log-loss cloning over T when an episode's total cost is scaled to [0, 1]."""
    shared, separate = (curve for (setting, _), curve in curves.items() if setting == "for ever, R = 1")
    line(axes, shared, SHARED, "one policy\nfor all steps")
    line(axes, separate, CLONING, "a policy for\neach step")
    for curve, colour in ((shared, SHARED), (separate, CLONING)):
        axes.annotate(curve.theorem, (curve.horizon[1], curve.bound[1]), (-4, 4), **beside(colour, "right"), va="bottom")
    title(axes, "Cloning by log loss can be free of T")
    over_horizons(axes, shared.horizon, f"regret, R = 1, n = {demonstrations:,}")
    low, high = axes.get_ylim()
    axes.set_ylim(low / 2, high)
    note = "if the expert is deterministic,\nin the class, and neither R\nnor log |Π| grows with T"
    axes.text(0.33, 0.26, note, transform=axes.transAxes, va="bottom", color=SHARED, fontsize=SMALL)


def mixture_panel(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Regret after training by schedule of β (rows) and by who tosses the coin (marks)."""
    schedules = list(dict.fromkeys(row["schedule"] for row in rows))
    style = {"step": (STEP, "s", 14.0, 0.0), "sequence": (DAGGER, "o", 11.0, 0.0), "batch": (MUTED, "|", 11.0, 0.3)}
    for row in rows:
        colour, marker, size, down = style[row["granularity"]]
        place = schedules.index(row["schedule"]) + down
        axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=3, solid_capstyle="butt")
        axes.plot(row["regret"], place, color=colour, marker=marker, markersize=size, markeredgewidth=2)
    named = {"step": ("linear to 0", "regret", 14, "left"), "sequence": ("linear to 0", "regret", -12, "right")}
    for granularity, (schedule, key, across, side) in (named | {"batch": ("constant 1/2", "high", 8, "left")}).items():
        row = next(row for row in rows if (row["schedule"], row["granularity"]) == (schedule, granularity))
        colour, _, _, down = style[granularity]
        point = (row[key], schedules.index(schedule) + down)
        axes.annotate(f"a {granularity}", point, (across, 0), **beside(colour, side), va="center", fontweight="bold")
    title(axes, "A coin a step hides the falls")
    frame(axes, f"regret after training, T = {rows[0]['horizon']}", "β, the expert’s share")
    axes.set_xscale("log")
    axes.set_xticks(ticks := [0.02, 0.05, 0.1, 0.2, 0.5, 1], [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(schedules)), [name.replace("exponential", "exp.").replace("(cloning)", "") for name in schedules])
    axes.set_xlim(min(row["low"] for row in rows) / 1.5, max(row["high"] for row in rows) * 1.3)
    axes.set_ylim(len(schedules) - 0.4, -0.6)
    axes.grid(axis="x", color=RULE, linewidth=0.8)


def over_horizons(axes: Axes, horizon: list[int], quantity: str) -> None:
    """Log–log axes over T, with room for the lines' names on the right."""
    frame(axes, "horizon T", quantity)
    axes.set_xlim(horizon[0] / 1.3, horizon[-1] * 5)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xticks(horizon, [f"{T:,}" for T in horizon])


def line(axes: Axes, curve: Curve, colour: str, name: str) -> None:
    """A curve, named with its slope right of its last point, and its bound, dotted."""
    axes.loglog(curve.horizon, curve.bound, color=colour, linewidth=2, linestyle=(0, (1, 1.5)))
    axes.loglog(curve.horizon, curve.regret, color=colour, linewidth=3.5, marker="o", markersize=9)
    text = f"{name}\nslope {curve.slope.value:.2f}".replace("-", "−")
    place = {"va": "center", "fontweight": "bold", **beside(colour, "left")}
    axes.annotate(text, (curve.horizon[-1], curve.regret[-1]), (14, 0), **place)


def reference(axes: Axes, curve: Curve, exponent: int, name: str) -> None:
    """A grey line T^exponent below the last half of ``curve``."""
    T = np.array(curve.horizon[len(curve.horizon) // 2 :])
    y = curve.regret[-1] / 3 * (T / T[-1]) ** exponent
    axes.loglog(T, y, color=MUTED, linewidth=1.5, linestyle="--")
    axes.annotate(name, (T[-1], y[-1]), (-8, -16), **beside(MUTED, "left"), va="center")


def beside(colour: str, side: str) -> dict[str, Any]:
    """Common keywords of an annotation that stands some points beside its place."""
    return {"textcoords": "offset points", "color": colour, "fontsize": SMALL, "ha": side}


def title(axes: Axes, text: str) -> None:
    """What the panel says, as a sentence."""
    axes.set_title(text, loc="left", fontsize=HEAD, color=INK, fontweight="bold", pad=14)


def frame(axes: Axes, x: str, y: str) -> None:
    """Labels, light rules, no box."""
    axes.set_xlabel(x, fontsize=TEXT, color=MUTED)
    axes.set_ylabel(y, fontsize=TEXT, color=MUTED)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=MUTED)


def power(value: float) -> str:
    """0.0001 → 10⁻⁴; another number stays a number."""
    exponent = np.log10(value)
    if exponent != round(exponent):
        return f"{value:g}"
    return "10" + f"{exponent:.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
