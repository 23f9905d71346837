"""Measure the gain of each acceleration in agents/accel: ``python -m benchmarks.ablation``.

Runs with and without an acceleration alternate in one process with two threads, which wait
passively, as in the commands. A gain is the median ratio of the rates in wall-clock time.
"""

from __future__ import annotations

import inspect
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read once, when torch is imported

import torch

from agents import accel
from benchmarks.contenders import distilling, ours
from benchmarks.material import Setup

REPEATS, CORES = 5, 2
# name → its module, and a function that turns it on or off
TRICKS: dict[str, tuple[Any, Callable[[bool], object]]] = {
    "decoding workers": (accel.workers, lambda on: accel.install(CORES if on else 1)),
}


def main() -> None:
    """Print the table."""
    torch.set_num_threads(CORES)
    cases = make_cases(Setup(vocabulary=8000, width=256, tokens=1200, threads=CORES))
    print(f"| trick | lines | {' | '.join(cases)} |\n|{' --- |' * (2 + len(cases))}", flush=True)
    for name, (module, switch) in TRICKS.items():
        gains = " | ".join(measure_gain(run, switch) for run in cases.values())
        lines = len(inspect.getsource(module).splitlines())
        print(f"| {name} | {lines} | {gains} |", flush=True)


def make_cases(setup: Setup) -> dict[str, Callable[[], float]]:
    """``Work.run`` of each column."""
    contender = ours.Contender(setup)
    decode = {"size": "2+2", "amp": "float32", "steps": 24, "count": 1, "workers": None}
    step = {"student": "2+2", "teacher": "8+8", "algorithm": "imitkd_full", "amp": "float32"}
    return {
        "training": contender.train("2+2", "float32").run,
        "greedy, batch 64": contender.decode(rows=64, width=1, **decode).run,
        "greedy, batch 1": contender.decode(rows=1, width=1, **decode).run,
        "beam 5, batch 64": contender.decode(rows=64, width=5, **decode).run,
        "ImitKD step": distilling.Contender(setup).step(**step).run,
    }


def measure_gain(run: Callable[[], float], switch: Callable[[bool], object]) -> str:
    """Median, minimum and maximum over repeats of the rate with the acceleration / without it."""
    ratios = []
    for repeat in range(REPEATS + 1):
        rates = []
        for on in (True, False):
            switch(on)
            start = time.perf_counter()
            rates.append(run() / (time.perf_counter() - start))
        if repeat:  # the first one is a warm-up
            ratios.append(rates[0] / rates[1])
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
