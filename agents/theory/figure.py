"""The lab's results in one figure for a projector: the cost of a horizon, where the square comes from, two ways out."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullLocator, StrMethodFormatter

from agents.reporting.style import INK, MUTED, PALETTE, SLIDE, png
from agents.theory.lab import Curve
from agents.theory.neural import LEARNERS

DAGGER, CLONING, SHARED, STEP = PALETTE[:4]  # every line is named where it ends
NOTE: Any = {"fontsize": 16}
EXPONENTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
Curves = dict[tuple[str, str], Curve]  # (setting, learner) → curve


@matplotlib.rc_context(SLIDE | {"text.parse_math": True})  # powers of ten at the ticks
def draw(results: dict[str, Any]) -> bytes:
    """The PNG of 1920 × 1080 pixels for the ``results`` of ``experiments/t2_bound.py``."""
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
        student_points(horizon, results)
    proof_panel(proof, curves, results["cost_by_step"])
    free_panel(free, curves, results["settings"]["demonstrations"])
    mixture_panel(mixtures, results["mixtures"])
    return png(figure)


def horizon_panel(axes: Axes, curves: Curves, epsilon: float) -> None:
    """Regret over T on the rope that one can climb back on, with both bounds and both reference slopes."""
    cloning, dagger = curves["climb back", "cloning"], curves["climb back", "DAgger"]
    for curve, color, exponent in ((cloning, CLONING, 2), (dagger, DAGGER, 1)):
        line(axes, curve, color, curve.learner)
        T = np.array(curve.horizon[len(curve.horizon) // 2 :])
        reference = curve.regret[-1] / 3 * (T / T[-1]) ** exponent
        axes.loglog(T, reference, color=MUTED, linewidth=1.5, linestyle="--")
        name(
            axes,
            "∝ T²" if exponent == 2 else "∝ T",
            (T[-1], reference[-1]),
            (-8, -16),
            color=MUTED,
            va="center",
        )
    name(
        axes,
        cloning.theorem,
        (cloning.horizon[1], cloning.bound[1]),
        (-4, 4),
        color=CLONING,
        ha="right",
        va="bottom",
    )
    name(
        axes, dagger.theorem, (dagger.horizon[2], dagger.bound[2]), (4, -6), color=DAGGER, va="top"
    )
    exponent = np.log10(epsilon)
    power = f"{epsilon:g}" if exponent % 1 else "10" + f"{exponent:.0f}".translate(EXPONENTS)
    axes.set(title="The same error a step: T² or T", ylabel=f"regret (lines: ε = {power})")
    over_horizons(axes, cloning.horizon)


def student_points(axes: Axes, results: dict[str, Any]) -> None:
    """The students' regret on the same axes, hollow, with their measured ε.

    A clone's ε is that on the expert's states, DAgger's that on its own, as in their theorems.
    """
    students = [curve for curve in results["curves"] if curve.kind == "neural"]
    measured = []
    for curve in students:
        key, color = (
            ("error_expert", CLONING) if curve.learner == "cloning" else ("error_own", DAGGER)
        )
        errors = [
            row[key] for row in results["students"] if LEARNERS[row["learner"]] == curve.learner
        ]
        measured.append(f"{np.mean(errors):#.2g} ({curve.learner})")
        axes.loglog(
            curve.horizon,
            curve.regret,
            color=color,
            linewidth=2,
            marker="o",
            markersize=10,
            mfc="white",
            mew=3,
        )
        end, box = (curve.horizon[-1], curve.regret[-1]), {"fc": "white", "ec": "none", "pad": 1}
        name(
            axes,
            f"{curve.slope.value:.2f}",
            end,
            (12, 0),
            color=color,
            va="center",
            weight="bold",
            bbox=box,
        )
    first, longest = min(students[0].horizon), results["settings"]["longest"]
    ticks = [first * 4**k for k in range(8) if first * 4**k <= longest]
    axes.set_xlim(left=first / 1.3)
    axes.set_xticks(ticks, [f"{T:,}" for T in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    note = "○ trained students, measured\n    ε = " + ",\n    ".join(measured) + ": slopes"
    axes.text(0.02, 0.98, note, transform=axes.transAxes, va="top", color=INK, **NOTE)


def proof_panel(axes: Axes, curves: Curves, costs: dict[str, list[float]]) -> None:
    """Expected cost at each step: while T ε is small, a triangle of ½ T² ε and a strip of u T ε."""
    T, top = len(costs["cloning"]), max(costs["cloning"])
    area = {}
    for learner, color in (("cloning", CLONING), ("DAgger", DAGGER)):
        cost, curve = costs[learner], curves["climb back", learner]
        axes.fill_between(range(1, T + 1), cost, color=color, alpha=0.18, linewidth=0)
        axes.plot(range(1, T + 1), cost, color=color, linewidth=3)
        area[learner] = f"area {sum(cost):.3g} = {sum(cost) / curve.bound[-1]:.2f} {curve.theorem}"
    axes.text(
        T * 0.97, top * 0.28, area["cloning"], color=CLONING, fontsize=18, ha="right", weight="bold"
    )
    axes.text(
        T * 0.02,
        top * 0.72,
        "cloning, off the rope:\nnever shown the way back",
        color=CLONING,
        **NOTE,
    )
    name(
        axes,
        f"DAgger: {area['DAgger']}",
        (T, 0),
        (-6, 9),
        color=DAGGER,
        ha="right",
        va="bottom",
        weight="bold",
    )
    axes.set(
        title="Where the square comes from",
        xlabel=f"step t of T = {T:,}",
        ylabel="expected cost at step t",
    )
    axes.set(xlim=(0, T * 1.01), ylim=(0, top * 1.05))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def free_panel(axes: Axes, curves: Curves, demonstrations: int) -> None:
    """Regret of log-loss cloning over T when an episode's total cost is scaled to [0, 1]."""
    shared, separate = (
        curve for (setting, _), curve in curves.items() if setting == "for ever, R = 1"
    )
    for curve, color, label in (
        (shared, SHARED, "one policy\nfor all steps"),
        (separate, CLONING, "a policy for\neach step"),
    ):
        line(axes, curve, color, label)
        name(
            axes,
            curve.theorem,
            (curve.horizon[1], curve.bound[1]),
            (-4, 4),
            color=color,
            ha="right",
            va="bottom",
        )
    axes.set(
        title="Cloning by log loss can be free of T",
        ylabel=f"regret, R = 1, n = {demonstrations:,}",
    )
    over_horizons(axes, shared.horizon)
    low, high = axes.get_ylim()
    axes.set_ylim(low / 2, high)
    note = "if the expert is deterministic,\nin the class, and neither R\nnor log |Π| grows with T"
    axes.text(0.33, 0.26, note, transform=axes.transAxes, va="bottom", color=SHARED, **NOTE)


def mixture_panel(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Regret after training by schedule of β (rows) and by what a coin decides about (marks)."""
    schedules = list(dict.fromkeys(row["schedule"] for row in rows))
    style = {
        "step": (STEP, "s", 14.0, 0.0),
        "sequence": (DAGGER, "o", 11.0, 0.0),
        "batch": (MUTED, "|", 11.0, 0.3),
    }
    labels = {  # (granularity, schedule) → which end of the mark its name stands at, and how far
        ("step", "linear to 0"): ("regret", 14, "left"),
        ("sequence", "linear to 0"): ("regret", -12, "right"),
        ("batch", "constant 1/2"): ("high", 8, "left"),
    }
    for row in rows:
        color, marker, size, down = style[row["granularity"]]
        y = schedules.index(row["schedule"]) + down
        axes.plot(
            [row["low"], row["high"]], [y, y], color=color, linewidth=3, solid_capstyle="butt"
        )
        axes.plot(row["regret"], y, color=color, marker=marker, markersize=size, markeredgewidth=2)
        if label := labels.get((row["granularity"], row["schedule"])):
            end, across, side = label
            text = f"a {row['granularity']}"
            name(
                axes,
                text,
                (row[end], y),
                (across, 0),
                color=color,
                ha=side,
                va="center",
                weight="bold",
            )
    axes.set(title="A coin a step hides the falls", xscale="log", ylabel="β, the expert’s share")
    axes.set_xlabel(f"regret after training, T = {rows[0]['horizon']}")
    ticks = (0.02, 0.05, 0.1, 0.2, 0.5, 1)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(
        range(len(schedules)),
        [text.replace("exponential", "exp.").replace("(cloning)", "") for text in schedules],
    )
    axes.set_xlim(min(row["low"] for row in rows) / 1.5, max(row["high"] for row in rows) * 1.3)
    axes.set_ylim(len(schedules) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")


def line(axes: Axes, curve: Curve, color: str, label: str) -> None:
    """A curve, named with its slope right of its last point, and its bound, dotted."""
    axes.loglog(curve.horizon, curve.bound, color=color, linewidth=2, linestyle=(0, (1, 1.5)))
    axes.loglog(curve.horizon, curve.regret, color=color, linewidth=3.5, marker="o", markersize=9)
    text = f"{label}\nslope {curve.slope.value:.2f}".replace("-", "−")
    name(
        axes,
        text,
        (curve.horizon[-1], curve.regret[-1]),
        (14, 0),
        color=color,
        va="center",
        weight="bold",
    )


def name(
    axes: Axes, text: str, point: tuple[float, float], points: tuple[float, float], **style: Any
) -> None:
    """``text``, ``points`` across and up from ``point``."""
    axes.annotate(text, point, points, textcoords="offset points", **NOTE, **style)


def over_horizons(axes: Axes, horizon: list[int]) -> None:
    """Log–log axes over T, with space for the lines' names on the right."""
    axes.set(xlabel="horizon T", xlim=(horizon[0] / 1.3, horizon[-1] * 5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xticks(horizon, [f"{T:,}" for T in horizon])
