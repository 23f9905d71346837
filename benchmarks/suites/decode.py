"""Decoding the same sentences; weights are equal too, except for Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from benchmarks.material import Setup, precisions
from benchmarks.runner import Job, Runner, alternate, fastest, open_runners
from benchmarks.table import Row, ratio, row

SINGLE = 16  # sentences of a measurement at batch 1
STUDENT, TEACHER = "2+2", "8+8"
GOALS = {  # (contender, beam width, batched) → goal for ours / contender
    ("huggingface", 1, True): "≥ 3",
    ("huggingface", 1, False): "≥ 2",
    ("huggingface", 5, True): "≥ 4",
    ("ctranslate2 float32", 1, True): "≥ 1",
}
Key = tuple[str, str]  # contender, model


def run_suite(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """Greedy decoding and beam 5, one sentence at a time and in batches of ``config.batch``.

    Each contender uses its fastest configuration.
    """
    sizes = list(config.sizes)
    with open_runners(setup, "ours", "huggingface", "ctranslate2") as runners:
        for width in (1, 5):
            for rows in (1, config.batch):
                count = SINGLE if rows == 1 else setup.threads
                work = {"rows": rows, "width": width, "steps": config.steps, "count": count}
                candidates = configurations(runners, sizes, work, setup.threads)
                jobs = {key: fastest(jobs) for key, jobs in candidates.items()}
                rates = alternate(jobs, config.rounds)
                kind = f"{'greedy' if width == 1 else f'beam {width}'}, batch {rows}:"
                for (name, model), rate in rates.items():
                    what = f"{kind} {model} {name} ({jobs[name, model]})"
                    yield row("decode", what, rate, "tokens/s")
                for ours, theirs, goal in comparisons(sizes, width, rows > 1):
                    if ours in rates and theirs in rates:
                        what = f"{kind} {ours[1]} {ours[0]} / {theirs[1]} {theirs[0]}"
                        yield row("decode", what, ratio(rates[ours], rates[theirs]), goal=goal)


def configurations(
    runners: dict[str, Runner], sizes: list[str], work: dict[str, Any], threads: int
) -> dict[Key, list[Job]]:
    """All configurations of each contender and model.

    These are both precisions, with one thread or all, and for ours and CTranslate2 also with
    workers.
    """
    workers = 1 if work["rows"] == 1 else threads
    in_process: list[tuple[dict[str, Any], int]] = [({}, 1), ({}, threads)]
    in_workers: list[tuple[dict[str, Any], int]] = [
        ({"workers": workers}, 1),
        ({"workers": 1}, threads),
    ]
    our_models = [*sizes, "gru"] if work["width"] == 1 else sizes
    # name, contender, model, precisions, process configurations
    contenders = [
        ("huggingface", "huggingface", model, precisions(), in_process) for model in sizes
    ]
    contenders += [("ours", "ours", model, precisions(), in_workers) for model in our_models]
    contenders += [
        (f"ctranslate2 {amp}", "ctranslate2", model, [amp], in_workers)
        for amp in ("float32", "int8")
        for model in sizes
    ]
    return {
        (name, model): [
            Job(runners[contender], "decode", {**work, **more, "size": model, "amp": amp}, count)
            for amp in amps
            for more, count in processes
        ]
        for name, contender, model, amps, processes in contenders
        if contender in runners
    }


def comparisons(sizes: list[str], width: int, batched: bool) -> Iterator[tuple[Key, Key, str]]:
    """Pairs to compare, and the goal for the ratio of their rates."""
    for size in sizes:
        for peer in ("huggingface", "ctranslate2 float32"):
            yield ("ours", size), (peer, size), GOALS.get((peer, width, batched), "")
    yield ("ours", "gru"), ("ours", TEACHER), "≥ 8" if batched else ""
    goal = ("≥ 8" if batched else "≥ 10") if width == 1 else ""
    yield ("ctranslate2 int8", STUDENT), ("ours", TEACHER), goal
