"""The environments alone: no expert, S = T = 125."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig

from benchmarks.material import Setup
from benchmarks.runner import Job, opened, turns
from benchmarks.table import Row, row


def measure(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """One step of one episode, one step of many."""
    with opened(setup, "stepping") as runners:
        jobs = {
            "single": Job(runners["stepping"], "single", {}),
            "vector": Job(runners["stepping"], "vector", {"episodes": config.episodes}),
        }
        rates = turns(jobs, config.rounds)  # steps a second
    yield row("env", "TextGenEnv.step", [1e6 / rate for rate in rates["single"]], "µs", "≤ 20")
    yield row(
        "env",
        f"vector step of {config.episodes:,} episodes",
        [1e3 / rate for rate in rates["vector"]],
        "ms",
        "≤ 3",
    )
