"""The environments without an expert, S = T = 125."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig

from benchmarks.material import Setup
from benchmarks.runner import Job, alternate, open_runners
from benchmarks.table import Row, row


def run_suite(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """The time of a step of the single and of the vector environment."""
    with open_runners(setup, "stepping") as runners:
        jobs = {
            "single": Job(runners["stepping"], "single", {}),
            "vector": Job(runners["stepping"], "vector", {"episodes": config.episodes}),
        }
        rates = alternate(jobs, config.rounds)  # steps per second
    yield row("env", "TextGenEnv.step", [1e6 / rate for rate in rates["single"]], "µs", "≤ 20")
    name, times = f"vector step, {config.episodes:,} episodes", [1e3 / r for r in rates["vector"]]
    yield row("env", name, times, "ms", "≤ 3")
