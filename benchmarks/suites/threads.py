"""Training by how OpenMP's threads wait, alone and beside other work that keeps cores busy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from omegaconf import DictConfig

from benchmarks.material import Setup, precisions
from benchmarks.runner import Job, Runner, turns
from benchmarks.table import Row, row

WAITS = {"active": 300_000, "passive": 0}  # GOMP_SPINCOUNT: libgomp's own default, and OMP_WAIT_POLICY=passive
SPIN = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"  # ends with whoever started it


def measure(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """Target tokens a second of the first size, with one thread and all, beside 0 to as many busy processes as cores."""
    size, amp = config.sizes[0], precisions()[-1]
    with ExitStack() as stack:
        runners = {wait: stack.enter_context(_runner(spins, setup)) for wait, spins in WAITS.items()}
        jobs = {
            (wait, threads): Job(runner, "train", {"size": size, "amp": amp}, threads)
            for threads in dict.fromkeys((1, setup.threads))
            for wait, runner in runners.items()
        }
        for busy in range(setup.threads + 1):
            with _other_work(busy):
                rates = turns(jobs, config.rounds)
            for (wait, threads), rate in rates.items():
                what = f"{size} {amp}, {threads} threads, {wait}, beside {busy} busy processes"
                yield row("threads", what, rate, "tokens/s")


def _runner(spins: int, setup: Setup) -> Runner:
    """Our trainer, in a process whose libgomp threads spin so often before they sleep."""
    with patch.dict(os.environ, {"GOMP_SPINCOUNT": str(spins)}):
        return Runner("ours", setup)


@contextmanager
def _other_work(count: int) -> Iterator[None]:
    """``count`` processes that each keep a core busy."""
    processes = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
