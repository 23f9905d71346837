"""The page of a results table, in Markdown for the repository, and its table for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from agents.reporting import tables
from agents.reporting.comparison import TEACHER
from agents.reporting.facts import MISSING, display_name, format_duration, format_ratio
from agents.reporting.pages import render
from agents.reporting.results_figure import quality_speed_png
from agents.reporting.tables import Row, beam_name
from textgen_env.terminal import safe_json


def pages(
    path: Path, title: str, command: str, rows: Sequence[Row], facts: Mapping[str, Any]
) -> dict[Path, bytes]:
    """``{file: content}``: the page at ``path``, its figure and its values as JSON beside it.

    Args:
        path: the Markdown file.
        title: its heading.
        command: what reproduces it.
        rows: as from ``table_rows``.
        facts: as from ``measuring_conditions``, and ``missing``, what was not measured.
    """
    figure = path.with_suffix(".png")
    metric, _, beam = tables.metric_heading(tables.metric_names(rows[0])[0]).partition(", ")
    page = {
        "title": title,
        "command": command,
        "figure": figure.name,
        "quality": quality_table(rows),
        "speed": speed_table(rows),
        "several_seeds": max(row["seeds"] for row in rows) > 1,
        "beam": beam,
        "facts": facts,
        "duration": format_duration,
        "highlights": highlights(rows),
    }
    values = json.dumps(
        {"title": title, "rows": rows, "conditions": facts}, indent=1, ensure_ascii=False
    )
    return {
        path: render("results.md.jinja", page).encode(),
        figure: quality_speed_png(rows, metric),
        path.with_suffix(".json"): safe_json(values).encode(),
    }


def system_name(row: Row) -> str:
    """``imitkd_full, gru`` or ``imitkd_full, transformer, int8``."""
    if row["algorithm"] == TEACHER:
        return f"teacher, {row['student']}"
    return ", ".join(filter(None, (row["algorithm"], row["student"], row["form"])))


def quality_table(rows: Sequence[Row]) -> str:
    """Scores, gains and significance."""
    names = tables.metric_names(rows[0])
    head = ["system", "seeds", "parameters", *map(tables.metric_heading, names)]
    head += ["gain over mle", "p (mle)", "p (seqkd)", "notes"]
    cells = []
    for row in rows:
        size, scores = row.get("parameters"), [tables.score_text(row, name) for name in names]
        line = [system_name(row), str(row["seeds"]), MISSING if size is None else f"{size:,}"]
        tests = [tables.p_text(row, "mle"), tables.p_text(row, "seqkd")]
        cells.append([*line, *scores, tables.gain_text(row), *tests, "; ".join(row["notes"])])
    return tables.markdown_table(head, cells)


def speed_table(rows: Sequence[Row]) -> str:
    """Decoding speeds; ratios are to the first row's first form."""
    sizes = list(rows[0]["speeds"])
    head = ["system", "decoding"]
    for size in sizes:
        place = "one sentence" if size == 1 else f"batch {size}"
        head += [f"tokens/s, {place}", "× teacher"]
    cells = []
    for row in rows:
        for form in row["speeds"][sizes[0]]:
            line = [system_name(row), form if row["algorithm"] == TEACHER else "greedy"]
            for size in sizes:
                median, low, high = row["speeds"][size][form]
                ratio = format_ratio(speed_up(rows, row, size, form))
                line += [f"{median:,.0f} ({low:,.0f}–{high:,.0f})", ratio]
            cells.append(line)
    return tables.markdown_table(head, cells)


def speed_up(rows: Sequence[Row], row: Row, size: int, form: str) -> float | None:
    """Speed divided by that of the teacher at its widest beam; None without one of the two."""
    teacher, own = next(iter(rows[0]["speeds"][size].values()), None), row["speeds"][size].get(form)
    return own[0] / teacher[0] if own and teacher else None


def highlights(rows: Sequence[Row]) -> list[str]:
    """Three numbers for the README: quality, speed, and speed in int8.

    The student is the one with the best mean validation score, which is greedy; chosen by its test
    score, it would look better than it is. Its test scores are those of the smallest beam width,
    the teacher's that of the largest.
    """
    names = [name.partition("@") for name in tables.metric_names(rows[0])]
    metric, label = names[0][0], display_name(names[0][0])
    widths = sorted(int(width) for name, _, width in names if name == metric)
    score, teacher = f"{metric}@{widths[0]}", rows[0][f"{metric}@{widths[-1]}"]
    students = [row for row in rows if row.get("validation") is not None]
    best = max(students, key=lambda row: row["validation"])
    same = [row for row in students if row["student"] == best["student"] and row is not best]
    mle = [row[score] for row in same if row["algorithm"] == "mle"]
    lines = [
        f"{best[score]:.1f} {label} by `{best['algorithm']}` with the {best['student']} student of "
        f"{best['parameters'] / 1e6:.2f} M parameters, {beam_name(widths[0])}; "
        + "".join(f"the same student by `mle` {value:.1f}, " for value in mle)
        + f"its teacher {teacher:.1f} ({beam_name(widths[-1])}). "
        "The algorithm and the student were chosen on the validation split."
    ]
    system = best["algorithm"], best["student"]
    exported = [row for row in rows if row["form"] == "int8"]
    for row in [best, *(row for row in exported if (row["algorithm"], row["student"]) == system)]:
        ratios = [speed_up(rows, row, size, row["form"]) for size in row["speeds"]]
        if None not in ratios and ratios:
            kind = f"In {row['form']} with CTranslate2" if row["form"] else "In torch"
            one, many = map(format_ratio, ratios)
            lines.append(
                f"{kind}, it decodes {one} as fast as the teacher ({beam_name(widths[-1])}) one "
                f"sentence at a time, {many} in batches of 64"
                + (f", with {row[score]:.1f} {label}." if row["form"] and score in row else ".")
            )
    return lines


def terminal_table(title: str, rows: Sequence[Row]) -> Table:
    """Scores and speed-ups in few columns."""
    score, sizes = tables.metric_names(rows[0])[0], list(rows[0]["speeds"])
    table = Table(title=Text(title), title_justify="left")
    table.add_column("system", no_wrap=True)
    table.add_column(tables.metric_heading(score), justify="right", no_wrap=True)
    for name in ("p (mle)", *(f"×, batch {size}" for size in sizes)):
        table.add_column(name, justify="right")
    table.add_column("notes")
    for row in rows:
        form = "greedy" if row["algorithm"] == TEACHER else row["form"]
        ratios = [format_ratio(speed_up(rows, row, size, form)) for size in sizes]
        cells = [
            system_name(row),
            tables.score_text(row, score),
            tables.p_text(row, "mle"),
            *ratios,
        ]
        table.add_row(*map(Text, [*cells, "; ".join(row["notes"])]))
    return table
