"""The results of ``experiments/t2_bound.py`` as terminal tables."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from agents.theory.lab import RegretCurve
from agents.theory.neural import LEARNERS


def t2_tables(results: dict[str, Any]) -> list[Table]:
    """Slopes, tightness of the bounds, and β schedules, each at most 80 columns wide."""
    students = [_students(results)] if "students" in results else []
    mdps, mixtures = _random_mdps(results["random_mdps"]), _mixtures(results["mixtures"])
    return [_slopes(results), *students, _tight(results), mdps, mixtures]


def _slopes(results: dict[str, Any]) -> Table:
    curves = [curve for curve in results["curves"] if curve.kind == "exact"]
    first, last = curves[0].horizon[0], curves[0].horizon[-1]
    title = f"Regret ∝ T^slope at ε = {results['settings']['epsilon']:g}, T = {first} … {last:,}"
    table = _table(title, "falls are", "learner", "regret", "slope, local range", "÷ bound")
    for curve in curves:
        ratio = f"{curve.regret[-1] / curve.bound[-1]:.3f} {curve.theorem}"
        regret = f"{curve.regret[-1]:.3g}"
        table.add_row(curve.setting, curve.learner, regret, _slope_range(curve), ratio)
    return table


def _students(results: dict[str, Any]) -> Table:
    """Trained students beside exact learners with the same ε, and their measured ε."""
    neural, exact = (
        {curve.learner: curve for curve in results["curves"] if curve.kind == kind}
        for kind in ("neural", "exact, as neural")
    )
    first, *_, last = neural["cloning"].horizon
    title = f"Trained students, ε = {results['settings']['neural_epsilon']:g}, T = {first} … {last}"
    headings = ("learner", "regret", "slope, 95 %", "exact slope", "÷ bound")
    table = _table(title, *headings, "ε: expert’s, own")
    for learner, curve in neural.items():
        rows = [
            row
            for row in results["students"]
            if LEARNERS[row["learner"]] == learner and row["horizon"] == last
        ]
        errors = (
            sum(row[key] for row in rows) / len(rows) for key in ("error_expert", "error_own")
        )
        ratio = f"{curve.regret[-1] / curve.bound[-1]:.2f} {curve.theorem}"
        cells = [
            f"{curve.regret[-1]:.3g}",
            _slope_range(curve),
            f"{exact[learner].slope.value:.2f}",
        ]
        table.add_row(learner, *cells, ratio, ", ".join(f"{error:.4f}" for error in errors))
    return table


def _slope_range(curve: RegretCurve) -> str:
    slope = curve.slope
    return f"{slope.value:z.2f}, {slope.low:z.2f} to {slope.high:z.2f}"


def _tight(results: dict[str, Any]) -> Table:
    horizons = results["curves"][0].horizon
    columns = (0, len(horizons) // 2, -1)
    headings = (f"T = {horizons[column]:,}" for column in columns)
    table = _table("Regret / T²ε, permanent falls", "mistakes", *headings)
    for name, ratios in results["tight"].items():
        table.add_row(name, *(f"{ratios[column]:.4f}" for column in columns))
    return table


def _random_mdps(results: dict[str, Any]) -> Table:
    title = f"Every bound in {results['draws']:,} random MDPs"
    table = _table(title, "bound", "largest regret / bound", "violated")
    for name, ratio in results["largest_ratio"].items():
        table.add_row(name, f"{ratio:.4f}", str(results["broken"][name]))
    return table


def _mixtures(rows: list[dict[str, Any]]) -> Table:
    cells = {(row["schedule"], row["granularity"]): row for row in rows}
    schedules, granularities = (
        list(dict.fromkeys(key[index] for key in cells)) for index in (0, 1)
    )
    title = f"Regret after training (P(wrong | ground)), T = {rows[0]['horizon']}, by β and coin"
    table = _table(title, "β", *(f"per {granularity}" for granularity in granularities))
    for schedule in schedules:
        row = (cells[schedule, granularity] for granularity in granularities)
        table.add_row(schedule, *map(_mixture_cell, row))
    return table


def _mixture_cell(cell: dict[str, Any]) -> str:
    extremes = f" {cell['low']:.3f}–{cell['high']:.3f}" if cell["high"] > cell["low"] else ""
    return f"{cell['regret']:.4f}{extremes} ({cell['error_on_ground']:.2f})"


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, box=None, title=title, title_justify="left", padding=(0, 2, 0, 0))
