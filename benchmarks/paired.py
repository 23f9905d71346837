"""Two checkouts of this project side by side: ``python benchmarks/paired.py BEFORE [CASE …]``.

Each works in processes of its own, with one thread, and they take turns; rates are by CPU time, so that other work on the
machine hardly counts. ``BEFORE`` is the folder of the other checkout. This one works twice, with ``agents/accel`` and without.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
ROUNDS, SECONDS = 3, 0.5
FLOAT32 = {"amp": "float32"}
SIDES = FLOAT32 | {"student": "2+2", "teacher": "8+8"}
GREEDY = FLOAT32 | {"width": 1, "steps": 24, "count": 1}
BEAM = FLOAT32 | {"width": 5, "steps": 48, "count": 1, "rows": 64, "ends": True}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    **{f"train {size}": ("ours", "train", FLOAT32 | {"size": size}) for size in ("2+2", "8+8")},
    **{
        f"greedy {rows} {size}": ("ours", "decode", GREEDY | {"size": size, "rows": rows})
        for rows in (64, 1)
        for size in ("2+2", "8+8")
    },
    **{f"beam 5 {size}": ("ours", "decode", BEAM | {"size": size}) for size in ("2+2", "8+8")},
    "imitkd_full step": ("distilling", "step", SIDES | {"algorithm": "imitkd_full"}),
    "greedy 64 gru": ("ours", "decode", GREEDY | {"size": "gru", "rows": 64}),
}


def main(before: str, *chosen: str) -> None:
    """Print the ratio of the rates, now over before, of every case: median, least and most of the rounds."""
    subjects = {
        "before": Subject(Path(before)),
        "on": Subject(ROOT),
        "off": Subject(ROOT, {"TEXTGEN_ACCEL": "0"}),
    }
    for case in chosen or CASES:
        rates: dict[str, list[float]] = {name: [] for name in subjects}
        for turn in range(ROUNDS + 1):
            for name, subject in subjects.items():
                rate = subject.rate(case)
                if turn:
                    rates[name].append(rate)
        line = f"{case:18}{statistics.median(rates['before']):9.1f}/s before"
        for name in ("on", "off"):
            ratio = [now / then for now, then in zip(rates[name], rates["before"], strict=True)]
            line += f", accel {name} {statistics.median(ratio):.2f} ({min(ratio):.2f} to {max(ratio):.2f})"
        print(line, flush=True)


class Subject:
    """A checkout at work in its own process."""

    def __init__(self, folder: Path, variables: dict[str, str] | None = None) -> None:
        path = f"{folder}:{folder / 'experiments'}"
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | (variables or {})
        command = [sys.executable, "-P", __file__, "serve"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=folder, env=environment, **pipes)

    def rate(self, case: str) -> float:
        """How much of the work of ``case`` is done in a second."""
        print(json.dumps(case), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def serve() -> None:
    """Time the cases that are named on standard input."""
    from benchmarks import material, runner

    if Path(
        "agents/runs"
    ).is_dir():  # not in earlier checkouts, whose runner tunes the allocator by itself
        from agents.runs.machine import install_accel

        install_accel(1)
    torch.set_num_threads(1)
    setup, works = material.Setup(vocabulary=8000, width=256, tokens=600, threads=1), {}
    for line in sys.stdin:
        case = json.loads(line)
        if case not in works:
            name, method, settings = CASES[case]
            runner._open(name, setup)
            settings = dict(settings)
            if settings.pop("ends", False):
                runner._contender.policy = ending(runner._contender.policy)
            works[case] = getattr(runner._contender, method)(**settings)
            works[case].run()
            getattr(
                runner, "use_huge_pages", lambda: None
            )()  # as the loop of earlier checkouts does
        began, count = time.process_time(), 0.0
        while time.process_time() - began < SECONDS:
            count += works[case].run()
        print(count / (time.process_time() - began), flush=True)


def ending(make: Any) -> Any:
    """Policies as those of ``make`` that end their sentences from step 16 on, ever more probably, as trained ones do."""

    def made(size: str) -> Any:
        policy, time = make(size), [0]
        start, step = policy.start, policy.step

        def started(source: Any, limit: int) -> Any:
            time[0] = 0
            return start(source, limit)

        def stepped(token: Any, state: Any) -> Any:
            logits, state = step(token, state)
            logits[:, 2] += 2.0 * (time[0] - 13)  # EOS
            time[0] += 1
            return logits, state

        policy.start, policy.step = started, stepped
        return policy

    return made


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main(*sys.argv[1:])
