"""Peak memory of a real ImitKD training, and whether it still grows in the second half."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from omegaconf import DictConfig

from benchmarks.material import Setup
from benchmarks.runner import opened
from benchmarks.table import Row, row


def measure(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """One training, the paper's student and teacher unless ``config.memory`` says otherwise; so there is no spread."""
    with opened(setup, "footprint") as runners:
        steps, resident, peak = runners["footprint"].call("train", words=list(config.memory))
    half, tenth = len(peak) // 2, max(1, len(peak) // 10)
    before, after = (
        statistics.mean(resident[half - tenth : half]),
        statistics.mean(resident[-tenth:]),
    )
    growth, drift = 100 * (peak[-1] / peak[half - 1] - 1), 100 * (after / before - 1)
    yield row("memory", f"peak in {steps:,} imitkd_full steps", [peak[-1] / 2**30], "GiB", "≤ 3")
    yield row(
        "memory", f"growth of the peak over the last {steps - steps // 2:,}", [growth], "%", "≤ 2"
    )
    yield row(
        "memory",
        f"growth of the mean over {steps // 10:,} steps, by then and at the end",
        [drift],
        "%",
    )
