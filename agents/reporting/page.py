"""``report.html``: one file that needs nothing else, on screen or on paper."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.reporting import facts
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
    values = {
        "facts": facts,
        "results": results,
        "scores": facts.Scores(results),
        "rates": rates(results.get("speed") or {}),
        "brief": brief,
        "intervals": intervals(facts.Scores(results)),
        "curves": [panel_svg(panel, metrics) for panel in panels(metrics)],
        "samples": [sample_words(sample) for sample in samples],
        "agreeing": sum(
            str(sample["teacher"]).split() == str(sample["student"]).split() for sample in samples
        ),
        "config": config_yaml,
    }
    path = Path(folder) / "report.html"
    write_atomically(path, render("report.html.jinja", values).encode("utf-8", "backslashreplace"))
    return path


def rates(speed: Mapping[str, Any]) -> str:
    """Both speeds; empty where one is not known."""
    teacher, student = (speed.get(f"{side}_tokens_per_second") for side in facts.SIDES)
    known = teacher is not None and student is not None
    return (
        f"{facts.amount(student)} against {facts.amount(teacher)} tokens per second"
        if known
        else ""
    )


def brief(count: float | None) -> str:
    """``5.2 M``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count is not None and count >= size:
            return f"{count / size:.1f} {unit}"
    return facts.amount(count)


def intervals(scores: facts.Scores) -> str:
    """Both scores on one scale as an ``<svg>`` element, of those whose interval is known; empty without any."""
    sides = {
        side: tuple(scores.get(side, key) for key in (scores.main, "low", "high"))
        for side in facts.SIDES
    }
    known: dict[str, Any] = {side: values for side, values in sides.items() if None not in values}
    return (
        interval_svg(known, f"Test {facts.wording(scores.main)} with its 95 % interval")
        if known
        else ""
    )


def sample_words(sample: Mapping[str, Any]) -> dict[str, Any]:
    """``sample`` with its four texts as ``Words``."""
    texts = {
        key: str(sample.get(key) or facts.NOTHING) for key in ("source", "reference", *facts.SIDES)
    }
    words: dict[str, Words] = {key: [(False, text)] for key, text in texts.items()}
    words["teacher"], words["student"] = differences(texts["teacher"], texts["student"])
    return {"index": sample["index"], **words}


def differences(left: str, right: str) -> tuple[Words, Words]:
    """Both texts, cut where they begin to differ or to agree."""
    words = left.split(), right.split()
    sides: tuple[Words, Words] = ([], [])
    for tag, *bounds in difflib.SequenceMatcher(None, *words, autojunk=False).get_opcodes():
        for side, text, start, stop in zip(sides, words, bounds[::2], bounds[1::2], strict=True):
            if start < stop:
                side.append((tag != "equal", " ".join(text[start:stop])))
    return sides
