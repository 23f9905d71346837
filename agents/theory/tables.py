"""The lab's results as terminal tables."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from agents.theory.neural import LEARNERS


def tables(results: dict[str, Any]) -> list[Table]:
    """Slopes, how tight the theorems are, and β, from the ``results`` of ``experiments/t2_bound.py``; 80 columns are enough."""
    trained = [_students(results)] if "students" in results else []
    return [
        _slopes(results),
        *trained,
        _tight(results),
        _mdps(results["random_mdps"]),
        _mixtures(results["mixtures"]),
    ]


def _slopes(results: dict[str, Any]) -> Table:
    curves = [curve for curve in results["curves"] if curve.kind == "exact"]
    first, last = curves[0].horizon[0], curves[0].horizon[-1]
    title = f"Regret ∝ T^slope at ε = {results['settings']['epsilon']:g}, T = {first} … {last:,}"
    table = _table(title, "falls are", "learner", "regret", "slope, local range", "÷ bound")
    for curve in curves:
        slope, ratio = curve.slope, curve.regret[-1] / curve.bound[-1]
        interval = f"{slope.value:z.2f}, {slope.low:z.2f} to {slope.high:z.2f}"
        table.add_row(
            curve.setting,
            curve.learner,
            f"{curve.regret[-1]:.3g}",
            interval,
            f"{ratio:.3f} {curve.theorem}",
        )
    return table


def _students(results: dict[str, Any]) -> Table:
    """Each learner beside exact learners of the same ε, with its measured ε on the expert's and on its own states."""
    curves, kinds = results["curves"], ("neural", "exact, as neural")
    students, exact = (
        {curve.learner: curve for curve in curves if curve.kind == kind} for kind in kinds
    )
    first, *_, last = students["cloning"].horizon
    title = f"Trained students, ε = {results['settings']['neural_epsilon']:g}, T = {first} … {last}"
    table = _table(
        title,
        "learner",
        "regret",
        "slope, 95 %",
        "exact slope",
        "÷ bound",
        "ε: expert’s, own states",
    )
    for name, curve in students.items():
        rows = [
            row
            for row in results["students"]
            if LEARNERS[row["learner"]] == name and row["horizon"] == last
        ]
        errors = (
            sum(row[key] for row in rows) / len(rows) for key in ("error_expert", "error_own")
        )
        slope, ratio = curve.slope, curve.regret[-1] / curve.bound[-1]
        interval = f"{slope.value:z.2f}, {slope.low:z.2f} to {slope.high:z.2f}"
        bound, at = f"{ratio:.2f} {curve.theorem}", ", ".join(f"{error:.4f}" for error in errors)
        table.add_row(
            name, f"{curve.regret[-1]:.3g}", interval, f"{exact[name].slope.value:.2f}", bound, at
        )
    return table


def _tight(results: dict[str, Any]) -> Table:
    steps = results["curves"][0].horizon
    places = (0, len(steps) // 2, -1)
    table = _table(
        "Regret / T²ε, falls for ever", "mistakes", *(f"T = {steps[place]:,}" for place in places)
    )
    for name, ratios in results["tight"].items():
        table.add_row(name, *(f"{ratios[place]:.4f}" for place in places))
    return table


def _mdps(mdps: dict[str, Any]) -> Table:
    table = _table(
        f"Every bound in {mdps['draws']:,} random MDPs", "bound", "largest regret / bound", "broken"
    )
    for name, ratio in mdps["largest_ratio"].items():
        table.add_row(name, f"{ratio:.4f}", str(mdps["broken"][name]))
    return table


def _mixtures(rows: list[dict[str, Any]]) -> Table:
    by = {(row["schedule"], row["granularity"]): row for row in rows}
    schedules, coins = (list(dict.fromkeys(key[place] for key in by)) for place in (0, 1))
    title = f"Regret after training, T = {rows[0]['horizon']} (P(wrong) on the ground), by β and a coin for"
    table = _table(title, "β", *(f"a {granularity}" for granularity in coins))
    for schedule in schedules:
        cells = (by[schedule, granularity] for granularity in coins)
        table.add_row(
            schedule,
            *(
                f"{cell['regret']:.4f}{_spread(cell)} ({cell['error_on_ground']:.2f})"
                for cell in cells
            ),
        )
    return table


def _spread(cell: dict[str, Any]) -> str:
    return f" {cell['low']:.3f}–{cell['high']:.3f}" if cell["high"] > cell["low"] else ""


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, box=None, title=title, title_justify="left", padding=(0, 2, 0, 0))
