"""The T² laboratory's results on a terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def tables(results: dict[str, Any]) -> list[Table]:
    """Slopes, how tight the theorems are, and β, from the ``results`` of ``experiments/t2_bound.py``; 80 columns are enough."""
    return [_slopes(results), _tight(results), _worlds(results["random_worlds"]), _mixtures(results["mixtures"])]


def _slopes(results: dict[str, Any]) -> Table:
    curves = results["curves"]
    first, last = curves[0].horizon[0], curves[0].horizon[-1]
    title = f"Regret ∝ T^slope at ε = {results['settings']['epsilon']:g}, T = {first} … {last:,}"
    table = _table(title, "falls are", "learner", "regret", "slope, local range", "÷ bound")
    for curve in curves:
        slope, ratio = curve.slope, curve.regret[-1] / curve.bound[-1]
        interval = f"{slope.value:z.2f}, {slope.low:z.2f} to {slope.high:z.2f}"
        table.add_row(curve.world, curve.learner, f"{curve.regret[-1]:.3g}", interval, f"{ratio:.3f} {curve.theorem}")
    return table


def _tight(results: dict[str, Any]) -> Table:
    steps = results["curves"][0].horizon
    places = (0, len(steps) // 2, -1)
    table = _table("Regret / T²ε, falls for ever", "mistakes", *(f"T = {steps[place]:,}" for place in places))
    for name, ratios in results["tight"].items():
        table.add_row(name, *(f"{ratios[place]:.4f}" for place in places))
    return table


def _worlds(worlds: dict[str, Any]) -> Table:
    table = _table(f"Every bound in {worlds['draws']:,} random worlds", "bound", "largest regret / bound", "broken")
    for name, ratio in worlds["largest_ratio"].items():
        table.add_row(name, f"{ratio:.4f}", str(worlds["broken"][name]))
    return table


def _mixtures(rows: list[dict[str, Any]]) -> Table:
    by = {(row["schedule"], row["granularity"]): row for row in rows}
    schedules, coins = (list(dict.fromkeys(key[place] for key in by)) for place in (0, 1))
    title = f"Regret after training, T = {rows[0]['horizon']} (P(wrong) on the ground), by β and a coin for"
    table = _table(title, "β", *(f"a {granularity}" for granularity in coins))
    for schedule in schedules:
        cells = (by[schedule, granularity] for granularity in coins)
        table.add_row(schedule, *(f"{cell['regret']:.4f}{_spread(cell)} ({cell['error_on_ground']:.2f})" for cell in cells))
    return table


def _spread(cell: dict[str, Any]) -> str:
    return f" {cell['low']:.3f}–{cell['high']:.3f}" if cell["high"] > cell["low"] else ""


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, box=None, title=title, title_justify="left", padding=(0, 2, 0, 0))
