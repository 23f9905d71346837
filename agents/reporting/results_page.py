"""The page of a results table, in Markdown for the repository, and its table for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from agents.reporting.comparison import TEACHER
from agents.reporting.facts import MISSING, display_name, format_duration, format_ratio
from agents.reporting.results_figure import quality_speed_png
from agents.reporting.versus import metric_heading
from textgen_env.terminal import escape_controls, safe_json

Row = Mapping[str, Any]


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
    score = metric_heading(metrics(rows)[0])
    parts = [
        f"# {title}",
        f"```sh\n{command}\n```",
        f"![Quality against decoding speed]({figure.name})",
        "## Quality",
        _markdown(quality_cells(rows)),
        *quality_notes(rows, facts),
        "## Speed",
        _markdown(speed_cells(rows)),
        *speed_notes(rows, facts),
        "## How it was measured",
        "\n".join(f"- {line}" for line in method(facts)),
        "## In three numbers",
        "\n".join(f"- {line}" for line in highlights(rows)),
    ]
    values = {"title": title, "rows": rows, "conditions": facts}
    return {
        path: (escape_controls("\n\n".join(parts), "\n") + "\n").encode(),
        figure: quality_speed_png(rows, score.partition(",")[0]),
        path.with_suffix(".json"): safe_json(
            json.dumps(values, indent=1, ensure_ascii=False)
        ).encode(),
    }


def metrics(rows: Sequence[Row]) -> list[str]:
    """The scores of the first row, such as ``bleu@1``."""
    return [key for key in rows[0] if "@" in key and not key.endswith(("_low", "_high"))]


def system_name(row: Row) -> str:
    """``imitkd_full, gru`` or ``imitkd_full, transformer, int8``."""
    if row["algorithm"] == TEACHER:
        return f"teacher, {row['student']}"
    return ", ".join(filter(None, (row["algorithm"], row["student"], row["form"])))


def score_text(row: Row, name: str) -> str:
    """``33.1 [32.0, 34.2]``."""
    if row.get(name) is None:
        return MISSING
    return f"{row[name]:.1f} [{row[f'{name}_low']:.1f}, {row[f'{name}_high']:.1f}]"


def quality_cells(rows: Sequence[Row]) -> list[list[str]]:
    """The heading and the rows of the table of scores."""
    names = metrics(rows)
    head = ["system", "seeds", "parameters", *map(metric_heading, names)]
    cells = [[*head, "gain over mle", "p (mle)", "p (seqkd)", "notes"]]
    for row in rows:
        size = row.get("parameters")
        gain = row.get("gain") if row["algorithm"] != "mle" else None
        tests = [row.get("p_mle"), row.get("p_seqkd")]
        cells.append(
            [
                system_name(row),
                str(row["seeds"]),
                MISSING if size is None else f"{size:,}",
                *(score_text(row, name) for name in names),
                MISSING if gain is None else f"{gain:+.1f}",
                *(MISSING if p is None else f"{p:.3f}" for p in tests),
                "; ".join(row["notes"]),
            ]
        )
    return cells


def speed_cells(rows: Sequence[Row]) -> list[list[str]]:
    """The heading and the rows of the table of speeds; ratios are to the first row's first form."""
    sizes = list(rows[0]["speeds"])
    head = ["system", "decoding"]
    for size in sizes:
        place = "one sentence" if size == 1 else f"batch {size}"
        head += [f"tokens/s, {place}", "× teacher"]
    cells = [head]
    for row in rows:
        for form in row["speeds"][sizes[0]]:
            line = [system_name(row), form if row["algorithm"] == TEACHER else "greedy"]
            for size in sizes:
                median, low, high = row["speeds"][size][form]
                ratio = speed_up(rows, row, size, form)
                line += [f"{median:,.0f} ({low:,.0f}–{high:,.0f})", format_ratio(ratio)]
            cells.append(line)
    return cells


def speed_up(rows: Sequence[Row], row: Row, size: int, form: str) -> float | None:
    """Speed divided by that of the teacher at its widest beam; None without such a teacher."""
    teacher = next(iter(rows[0]["speeds"][size].values()), None)
    return row["speeds"][size][form][0] / teacher[0] if teacher else None


def quality_notes(rows: Sequence[Row], facts: Mapping[str, Any]) -> list[str]:
    """What the scores, intervals and tests mean."""
    several = max(row["seeds"] for row in rows) > 1
    return [
        "Scores on the test split with 95 % intervals, over "
        + (
            "seeds and test sentences for students, over test sentences for the teacher."
            if several
            else "test sentences."
        )
        + " Checkpoints were chosen on the validation split.",
        "p: two-sided paired "
        + ("t-test over the seeds' scores" if several else "bootstrap over test sentences")
        + f" at {metric_heading(metrics(rows)[0]).partition(', ')[2]}, against the same student "
        "and form trained with `mle` or `seqkd`.",
        "unfinished: the best validation was in the last tenth of the training, so longer training "
        "would probably give a better score.",
    ]


def speed_notes(rows: Sequence[Row], facts: Mapping[str, Any]) -> list[str]:
    """How the speeds were measured, and what is missing."""
    return [
        f"Medians of {facts['rounds']} rounds (slowest–fastest) over {facts['speed_rows']} test "
        "sentences, measured at the end in one process in which all systems take turns, with the "
        f"first seed of each; {facts['threads']} CPU threads.",
        *facts["missing"],
    ]


def method(facts: Mapping[str, Any]) -> list[str]:
    """Corpus, metric, machine, versions and duration."""
    corpus, seconds = facts["corpus"], facts["run_seconds"]
    lines = [
        f"Corpus: {corpus['name']} ({corpus['source']}), fingerprint `{corpus['fingerprint']}`, "
        f"{facts['sentences']:,} test sentences.",
        f"Metric: {facts['signature']}; preprocessing: {facts['preprocessing']}.",
        f"Machine: {facts['cpu']}, {facts['precision']}, torch {facts['torch']}, "
        f"CTranslate2 {facts['ctranslate2']}.",
        f"Commit: {facts['commit']}.",
        f"Training: {facts['runs']} runs took {format_duration(seconds)} in total, validation and "
        f"evaluation included, {facts['jobs']} at a time with {facts['run_threads']} threads each.",
    ]
    if facts["teacher_seconds"]:
        lines.append(f"Teacher: {format_duration(facts['teacher_seconds'])} of training.")
    if facts["demonstrations_seconds"]:
        lines.append(f"Its demonstrations: {format_duration(facts['demonstrations_seconds'])}.")
    return lines


def highlights(rows: Sequence[Row]) -> list[str]:
    """Three numbers for the README: quality, speed, and speed in int8.

    The student is the one with the best mean validation score.
    """
    students = [row for row in rows if row.get("validation") is not None]
    best = max(students, key=lambda row: row["validation"])
    score, *wider = metrics(rows)
    widest = ([score, *wider])[-1]
    name = display_name(score.partition("@")[0])
    lines = [
        f"{best[score]:.1f} {name} by `{best['algorithm']}` with the {best['student']} of "
        f"{best['parameters'] / 1e6:.2f} M parameters, greedy; the teacher has "
        f"{rows[0][widest]:.1f} at {metric_heading(widest).partition(', ')[2]}"
        + "".join(
            f", the same student trained with `{row['algorithm']}` {row[score]:.1f}"
            for row in students
            if row["algorithm"] == "mle" and row["student"] == best["student"] and row is not best
        )
        + "."
    ]
    for row in [best, *(row for row in rows if row["form"] == "int8" and _same(row, best))]:
        ratios = [speed_up(rows, row, size, row["form"]) for size in row["speeds"]]
        if None not in ratios and ratios:
            kind = f"In {row['form']} with CTranslate2" if row["form"] else "In torch"
            one, many = map(format_ratio, ratios)
            lines.append(
                f"{kind}, it decodes {one} as fast as the teacher at its beam sentence by "
                f"sentence, {many} in batches of 64"
                + (f", with {row[score]:.1f} {name}." if row["form"] else ".")
            )
    return lines


def _same(row: Row, other: Row) -> bool:
    return all(row[key] == other[key] for key in ("algorithm", "student"))


def terminal_table(title: str, rows: Sequence[Row]) -> Table:
    """Scores and speed-ups in few columns."""
    score = metrics(rows)[0]
    sizes = list(rows[0]["speeds"])
    table = Table(title=Text(title), title_justify="left")
    for index, name in enumerate(
        [
            "system",
            metric_heading(score),
            "p (mle)",
            *(f"×, batch {size}" for size in sizes),
            "notes",
        ]
    ):
        table.add_column(name, justify="right" if 0 < index < 3 + len(sizes) else "left")
    for row in rows:
        greedy = "greedy" if row["algorithm"] == TEACHER else row["form"]
        ratios = [
            speed_up(rows, row, size, greedy) if greedy in row["speeds"][size] else None
            for size in sizes
        ]
        p = row.get("p_mle")
        cells = [system_name(row), score_text(row, score), MISSING if p is None else f"{p:.3f}"]
        notes = "; ".join(row["notes"])
        table.add_row(*map(Text, [*cells, *map(format_ratio, ratios), notes]))
    return table


def _markdown(cells: list[list[str]]) -> str:
    head, *body = cells
    right = [":" if any(word in name for word in NUMBERS) else "" for name in head]
    rule = [f"---{mark}" for mark in right]
    lines = [head, rule, *([cell.replace("|", "\\|") for cell in line] for line in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


NUMBERS = ("seeds", "parameters", "beam", "gain", "p (", "tokens/s", "×")
