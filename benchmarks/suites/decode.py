"""Decoding: the same sentences and, but for Hugging Face, the same weights; everybody in the best of its settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from benchmarks.material import Setup, precisions
from benchmarks.runner import Job, Runner, best, opened, turns
from benchmarks.table import Row, ratio, row

ALONE = 16  # sentences, one after another, of a measurement at batch 1
STUDENT, TEACHER = "2+2", "8+8"
GOALS = {  # ours against whom, beam width, side by side
    ("huggingface", 1, True): "≥ 3",
    ("huggingface", 1, False): "≥ 2",
    ("huggingface", 5, True): "≥ 4",
    ("ctranslate2 float32", 1, True): "≥ 1",
}
Key = tuple[str, str]  # who, with which model


def measure(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """Greedy and beam 5, one sentence at a time and ``config.batch`` side by side."""
    with opened(setup, "ours", "huggingface", "ctranslate2") as runners:
        for width in (1, 5):
            for rows in (1, config.batch):
                work = {
                    "rows": rows,
                    "width": width,
                    "steps": config.steps,
                    "count": ALONE if rows == 1 else setup.threads,
                }
                jobs = {
                    key: best(jobs)
                    for key, jobs in ways(runners, list(config.sizes), work, setup.threads).items()
                }
                rates = turns(jobs, config.rounds)
                kind = f"{'greedy' if width == 1 else f'beam {width}'}, batch {rows}:"
                for (who, model), rate in rates.items():
                    yield row(
                        "decode", f"{kind} {model} {who} ({jobs[who, model]})", rate, "tokens/s"
                    )
                for over, under, goal in pairs(list(config.sizes), width, rows > 1):
                    if over in rates and under in rates:
                        what = f"{kind} {over[1]} {over[0]} / {under[1]} {under[0]}"
                        yield row("decode", what, ratio(rates[over], rates[under]), goal=goal)


def ways(
    runners: dict[str, Runner], sizes: list[str], work: dict[str, Any], threads: int
) -> dict[Key, list[Job]]:
    """Every way to do the work: in either precision, one thread or all, ours and CTranslate2 with workers too."""
    workers = 1 if work["rows"] == 1 else threads
    alone: list[tuple[dict[str, Any], int]] = [({}, 1), ({}, threads)]
    team: list[tuple[dict[str, Any], int]] = [({"workers": workers}, 1), ({"workers": 1}, threads)]
    entrants = [("huggingface", "huggingface", model, precisions(), alone) for model in sizes]
    entrants += [
        ("ours", "ours", model, precisions(), team)
        for model in (*sizes, *["gru"] * (work["width"] == 1))
    ]
    entrants += [
        (f"ctranslate2 {amp}", "ctranslate2", model, [amp], team)
        for amp in ("float32", "int8")
        for model in sizes
    ]
    return {
        (who, model): [
            Job(runners[name], "decode", {**work, **more, "size": model, "amp": amp}, count)
            for amp in amps
            for more, count in shapes
        ]
        for who, name, model, amps, shapes in entrants
        if name in runners
    }


def pairs(sizes: list[str], width: int, many: bool) -> Iterator[tuple[Key, Key, str]]:
    """What is compared with what, and the goal."""
    for size in sizes:
        for peer in ("huggingface", "ctranslate2 float32"):
            yield ("ours", size), (peer, size), GOALS.get((peer, width, many), "")
    yield ("ours", "gru"), ("ours", TEACHER), "≥ 8" if many else ""
    yield (
        ("ctranslate2 int8", STUDENT),
        ("ours", TEACHER),
        ("≥ 8" if many else "≥ 10") if width == 1 else "",
    )
