"""Compare the speed of two checkouts: ``python benchmarks/paired.py BEFORE [CASE …]``.

``BEFORE`` is the folder of the other checkout. This one is measured with ``agents/accel`` and
without. Each runs in its own single-threaded process, and they take turns. Rates are per second of
CPU time, which other work on the machine hardly affects.
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
REPEATS, SECONDS = 3, 0.5
FLOAT32 = {"amp": "float32"}
MODELS = FLOAT32 | {"student": "2+2", "teacher": "8+8"}
GREEDY = FLOAT32 | {"width": 1, "steps": 24, "count": 1}
BEAM = FLOAT32 | {"width": 5, "steps": 48, "count": 1, "rows": 64, "ends": True}
# name → contender, method, settings
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    **{f"train {size}": ("ours", "train", FLOAT32 | {"size": size}) for size in ("2+2", "8+8")},
    **{
        f"greedy {rows} {size}": ("ours", "decode", GREEDY | {"size": size, "rows": rows})
        for rows in (64, 1)
        for size in ("2+2", "8+8")
    },
    **{f"beam 5 {size}": ("ours", "decode", BEAM | {"size": size}) for size in ("2+2", "8+8")},
    "imitkd_full step": ("distilling", "step", MODELS | {"algorithm": "imitkd_full"}),
    "greedy 64 gru": ("ours", "decode", GREEDY | {"size": "gru", "rows": 64}),
}


def main(before: str, *names: str) -> None:
    """Print the rate now / before of each case: median, minimum and maximum over repeats."""
    checkouts = {
        "before": Checkout(Path(before)),
        "on": Checkout(ROOT),
        "off": Checkout(ROOT, {"TEXTGEN_ACCEL": "0"}),
    }
    for case in names or CASES:
        rates: dict[str, list[float]] = {name: [] for name in checkouts}
        for repeat in range(REPEATS + 1):
            for name, checkout in checkouts.items():
                rate = checkout.rate(case)
                if repeat:  # the first one is a warm-up
                    rates[name].append(rate)
        line = f"{case:18}{statistics.median(rates['before']):9.1f}/s before"
        for name in ("on", "off"):
            ratio = [now / then for now, then in zip(rates[name], rates["before"], strict=True)]
            extremes = f"({min(ratio):.2f} to {max(ratio):.2f})"
            line += f", accel {name} {statistics.median(ratio):.2f} {extremes}"
        print(line, flush=True)


class Checkout:
    """A process that serves the rates of a checkout."""

    def __init__(self, folder: Path, variables: dict[str, str] | None = None) -> None:
        path = f"{folder}:{folder / 'experiments'}"
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | (variables or {})
        command = [sys.executable, "-P", __file__, "serve"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=folder, env=environment, **pipes)

    def rate(self, case: str) -> float:
        """The work of ``case`` per second."""
        print(json.dumps(case), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def serve() -> None:
    """Read names of cases from standard input and print their rates."""
    import importlib

    from benchmarks import material, runner

    if Path("agents/runs").is_dir():  # otherwise an earlier checkout, whose runner does this
        from agents.runs.machine import install_accel

        install_accel(1)
    torch.set_num_threads(1)
    setup, works = material.Setup(vocabulary=8000, width=256, tokens=600, threads=1), {}
    for line in sys.stdin:
        case = json.loads(line)
        if case not in works:
            name, method, settings = CASES[case]
            contender = importlib.import_module(f"benchmarks.contenders.{name}").Contender(setup)
            settings = dict(settings)
            if settings.pop("ends", False):
                contender.policy = with_growing_eos(contender.policy)
            works[case] = getattr(contender, method)(**settings)
            works[case].run()
            # Earlier checkouts do this in their training loop.
            getattr(runner, "use_huge_pages", lambda: None)()
        start, count = time.process_time(), 0.0
        while time.process_time() - start < SECONDS:
            count += works[case].run()
        print(count / (time.process_time() - start), flush=True)


def with_growing_eos(make: Any) -> Any:
    """Policies of ``make`` whose probability of EOS grows with the step, as in a trained policy.

    Their sentences end from about step 16 on.
    """

    def make_policy(size: str) -> Any:
        policy, time_step = make(size), 0
        original_start, original_step = policy.start, policy.step

        def start(source: Any, limit: int) -> Any:
            nonlocal time_step
            time_step = 0
            return original_start(source, limit)

        def step(token: Any, state: Any) -> Any:
            nonlocal time_step
            logits, state = original_step(token, state)
            logits[:, 2] += 2.0 * (time_step - 13)  # EOS
            time_step += 1
            return logits, state

        policy.start, policy.step = start, step
        return policy

    return make_policy


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main(*sys.argv[1:])
