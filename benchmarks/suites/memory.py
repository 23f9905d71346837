"""Peak memory of an ImitKD training run, and whether it still grows in the second half."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from omegaconf import DictConfig

from benchmarks.material import Setup
from benchmarks.runner import open_runners
from benchmarks.table import Row, row


def run_suite(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """One training run, by default with the paper's student and teacher; there are no repeats."""
    with open_runners(setup, "footprint") as runners:
        overrides = list(config.memory)
        steps, resident, peak = runners["footprint"].call("train", overrides=overrides)
    half, tenth = len(peak) // 2, max(1, len(peak) // 10)
    before = statistics.mean(resident[half - tenth : half])
    after = statistics.mean(resident[-tenth:])
    growth, drift = 100 * (peak[-1] / peak[half - 1] - 1), 100 * (after / before - 1)
    yield row("memory", f"peak in {steps:,} imitkd_full steps", [peak[-1] / 2**30], "GiB", "≤ 3")
    name = f"growth of the peak in the last {steps - steps // 2:,} steps"
    yield row("memory", name, [growth], "%", "≤ 2")
    name = f"growth of the mean over {steps // 10:,} steps, from half-time to the end"
    yield row("memory", name, [drift], "%")
