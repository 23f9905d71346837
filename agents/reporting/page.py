"""``report.html``: a self-contained page for the screen and for printing."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.reporting import facts
from agents.reporting.pages import render
from agents.reporting.plots import interval_svg, panel_svg, panels
from textgen_env.data.files import write_atomically

Segments = list[tuple[bool, str]]  # whether the words differ from the other text, and the words


def save_html(
    folder: Path | str,
    results: Mapping[str, Any],
    metrics: Sequence[dict[str, Any]],
    samples: Sequence[Mapping[str, Any]],
    config_yaml: str,
) -> Path:
    """Write ``report.html`` into the run folder.

    Args:
        folder: The run folder.
        results: The contents of ``results.json``; ``"profile": {name: seconds}`` is optional.
        metrics: The rows of ``metrics.jsonl``.
        samples: ``{"index", "source", "reference", "teacher", "student"}`` each.
        config_yaml: The run's settings as text.
    """
    scores = facts.ScoreTable(results)
    values = {
        "facts": facts,
        "results": results,
        "scores": scores,
        "rates": rates(results.get("speed") or {}),
        "abbreviate": abbreviate,
        "intervals": intervals(scores),
        "curves": [panel_svg(panel, metrics) for panel in panels(metrics)],
        "samples": [mark_differences(sample) for sample in samples],
        "agreeing": agreeing(samples),
        "config": config_yaml,
    }
    path = Path(folder) / "report.html"
    write_atomically(path, render("report.html.jinja", values).encode("utf-8", "backslashreplace"))
    return path


def agreeing(samples: Sequence[Mapping[str, Any]]) -> int | None:
    """The number of samples with equal outputs; None without outputs of the teacher."""
    if not any("teacher" in sample for sample in samples):
        return None
    pairs = ([str(sample[model]).split() for model in facts.MODELS] for sample in samples)
    return sum(teacher == student for teacher, student in pairs)


def rates(speed: Mapping[str, Any]) -> str:
    """The tokens per second of both models; empty if either is unknown."""
    teacher, student = (speed.get(f"{model}_tokens_per_second") for model in facts.MODELS)
    if teacher is None or student is None:
        return ""
    return f"{facts.format_value(student)} vs. {facts.format_value(teacher)} tokens per second"


def abbreviate(count: float | None) -> str:
    """``5.2 M``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count is not None and count >= size:
            return f"{count / size:.1f} {unit}"
    return facts.format_value(count)


def intervals(scores: facts.ScoreTable) -> str:
    """Plot the scores that have an interval, as an ``<svg>`` element; empty if there are none."""
    columns = (scores.main, "low", "high")
    values = {model: tuple(scores.get(model, key) for key in columns) for model in facts.MODELS}
    known: dict[str, Any] = {model: row for model, row in values.items() if None not in row}
    title = f"Test {facts.display_name(scores.main)} with its 95 % interval"
    return interval_svg(known, title) if known else ""


def mark_differences(sample: Mapping[str, Any]) -> dict[str, Any]:
    """``sample`` with its four texts as ``Segments``."""
    keys = ("source", "reference", *facts.MODELS)
    texts = {key: str(sample.get(key) or facts.MISSING) for key in keys}
    segments: dict[str, Segments] = {key: [(False, text)] for key, text in texts.items()}
    if "teacher" in sample:
        segments["teacher"], segments["student"] = differences(texts["teacher"], texts["student"])
    return {"index": sample["index"], **segments}


def differences(left: str, right: str) -> tuple[Segments, Segments]:
    """Split both texts into runs of words that agree or differ."""
    words = left.split(), right.split()
    both: tuple[Segments, Segments] = ([], [])
    for tag, *bounds in difflib.SequenceMatcher(None, *words, autojunk=False).get_opcodes():
        for segments, text, start, stop in zip(both, words, bounds[::2], bounds[1::2], strict=True):
            if start < stop:
                segments.append((tag != "equal", " ".join(text[start:stop])))
    return both
