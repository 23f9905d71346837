"""``report.html``: one file that needs nothing else, on screen or on paper."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.reporting.facts import (
    NOTHING,
    SIDES,
    Scores,
    amount,
    comparison,
    conditions,
    corpus_line,
    costs,
    duration,
    label,
    times,
    title,
    warning,
    wording,
)
from agents.reporting.pages import render
from agents.reporting.plots import interval_svg, panel_svg, panels
from textgen_env.data.files import write_atomically

Words = list[tuple[bool, str]]  # whether the other side lacks them, and the words


def html(
    folder: Path | str,
    results: Mapping[str, Any],
    metrics: Sequence[dict[str, Any]],
    samples: Sequence[Mapping[str, Any]],
    config_yaml: str,
) -> Path:
    """Write ``report.html`` into the run folder.

    Args:
        folder: The run folder.
        results: The contents of ``results.json``; with ``"profile": {name: seconds}`` the page also
            shows where the time went.
        metrics: The rows of ``metrics.jsonl``.
        samples: ``{"index", "source", "reference", "teacher", "student"}`` each.
        config_yaml: The run's settings as text.
    """
    caption = f"Test {wording(Scores(results).main)} with its 95 % interval"
    values = {
        "title": title(results),
        "run": ", ".join(f"{key} {results[key]}" for key in ("preset", "seed") if results.get(key) is not None),
        "notice": warning(results),
        "headline": headline(results),
        "comparison": comparison(results),
        "caption": caption,
        "intervals": intervals(results, caption),
        "conditions": conditions(results),
        "curves": [panel_svg(panel, metrics) for panel in panels(metrics)],
        "costs": costs(results),
        "profile": profile(results.get("profile") or {}),
        "samples": [sample_words(sample) for sample in samples],
        "agreeing": sum(str(sample["teacher"]).split() == str(sample["student"]).split() for sample in samples),
        "provenance": provenance(results),
        "config": config_yaml,
    }
    path = Path(folder) / "report.html"
    write_atomically(path, render("report.html.jinja", values).encode("utf-8", "backslashreplace"))
    return path


def headline(results: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and a note for the metrics that a reader looks for first."""
    scores, speed = Scores(results), results.get("speed") or {}
    teacher_size, student_size = ((results.get(side) or {}).get("parameters") for side in SIDES)
    teacher_rate, student_rate = (speed.get(f"{side}_tokens_per_second") for side in SIDES)
    interval, rates = scores.interval("student"), f"{amount(student_rate)} against {amount(teacher_rate)} tokens per second"
    return [
        (f"Student {wording(scores.main)}", scores.value("student"), interval and f"95 % interval {interval}"),
        ("Student − teacher", scores.difference(), f"teacher {scores.cell('teacher', scores.main)}"),
        ("Speed-up", times(speed.get("speedup")), "" if teacher_rate is None or student_rate is None else rates),
        ("Parameters", brief(student_size), f"teacher {brief(teacher_size)}"),
    ]


def brief(count: float | None) -> str:
    """``5.2 M``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count is not None and count >= size:
            return f"{count / size:.1f} {unit}"
    return amount(count)


def intervals(results: Mapping[str, Any], caption: str) -> str:
    """Both scores on one scale as an ``<svg>`` element, of those whose interval is known; empty without any."""
    scores = Scores(results)
    sides = {side: tuple(scores.get(side, key) for key in (scores.main, "low", "high")) for side in SIDES}
    known: dict[str, Any] = {side: values for side, values in sides.items() if None not in values}
    return interval_svg(known, caption) if known else ""


def profile(seconds: Mapping[str, float]) -> list[tuple[str, str, str, str]]:
    """For each phase, longest first: its name, time, share in percent, and the width of its bar in percent."""
    total, longest = sum(seconds.values()) or 1.0, max(seconds.values(), default=0.0) or 1.0
    return [
        (label(name), duration(spent), f"{100 * spent / total:.0f}", f"{100 * spent / longest:.1f}")
        for name, spent in sorted(seconds.items(), key=lambda item: -item[1])
    ]


def sample_words(sample: Mapping[str, Any]) -> dict[str, Any]:
    """``sample`` with its four texts as ``Words``."""
    texts = {key: str(sample.get(key) or NOTHING) for key in ("source", "reference", *SIDES)}
    teacher, student = differences(texts["teacher"], texts["student"])
    plain = {key: [(False, texts[key])] for key in ("source", "reference")}
    return {"index": sample["index"], **plain, "teacher": teacher, "student": student}


def differences(left: str, right: str) -> tuple[Words, Words]:
    """Both texts, cut where they begin to differ or to agree."""
    words = left.split(), right.split()
    sides: tuple[Words, Words] = ([], [])
    for tag, *bounds in difflib.SequenceMatcher(None, *words, autojunk=False).get_opcodes():
        for side, text, start, stop in zip(sides, words, bounds[::2], bounds[1::2], strict=True):
            if start < stop:
                side.append((tag != "equal", " ".join(text[start:stop])))
    return sides


def provenance(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What it takes to get the same values again."""
    known = {
        "Corpus": corpus_line(results),
        "Corpus fingerprint": (results.get("corpus") or {}).get("fingerprint"),
        "Metric signature": "; ".join(Scores(results).notes),
        "Teacher": (results.get("teacher") or {}).get("path"),
        "Seed": results.get("seed"),
        **(results.get("versions") or {}),
    }
    return [(name, str(value)) for name, value in known.items() if value not in (None, "")]
