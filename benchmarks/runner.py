"""Run contenders in separate processes, one at a time."""

from __future__ import annotations

import importlib
import statistics
import time
import warnings
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any, NamedTuple, Self, TypeVar

import torch

from benchmarks.material import Setup, Work

# contender → the package it needs
PACKAGES = {
    "huggingface": "transformers",
    "ctranslate2": "ctranslate2",
    "imitation_bc": "imitation",
}
Key = TypeVar("Key", bound=Hashable)


def missing_packages() -> dict[str, str]:
    """Contenders that cannot run, and the missing package."""
    return {name: package for name, package in PACKAGES.items() if find_spec(package) is None}


class Runner:
    """A contender in its own process."""

    def __init__(self, contender: str, setup: Setup) -> None:
        self.pool, self.seconds = ProcessPoolExecutor(1, get_context("spawn")), setup.seconds
        self.pool.submit(_create_contender, contender, setup).result()

    def call(self, method: str, **settings: Any) -> Any:
        """Call a method of the contender in its process and return the result."""
        return self.pool.submit(_call, method, settings).result()

    def rate(self, work: str, settings: dict[str, Any], threads: int) -> float:
        """The work per second of the ``Work`` that the contender's method ``work`` returns."""
        return self.pool.submit(_rate, work, settings, threads, self.seconds).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()


class Job(NamedTuple):
    """A method of a runner's contender with its settings and number of threads."""

    runner: Runner
    work: str
    settings: dict[str, Any]
    threads: int = 1

    def rate(self) -> float:
        """Work per second."""
        return self.runner.rate(self.work, self.settings, self.threads)

    def __str__(self) -> str:
        workers = f"{self.settings['workers']} × " if "workers" in self.settings else ""
        return f"{self.settings['amp']}, {workers}{self.threads} threads"


@contextmanager
def open_runners(setup: Setup, *contenders: str) -> Iterator[dict[str, Runner]]:
    """``{contender: runner}``, without those whose package is missing."""
    missing = missing_packages()
    available = [name for name in contenders if name not in missing]
    with ExitStack() as stack:
        yield {name: stack.enter_context(Runner(name, setup)) for name in available}


def alternate(jobs: dict[Key, Job], repeats: int) -> dict[Key, list[float]]:
    """The rate of each job at each repeat; jobs take turns, after one warm-up each."""
    for job in jobs.values():
        job.rate()
    rates: dict[Key, list[float]] = {key: [] for key in jobs}
    for _ in range(repeats):
        for key, job in jobs.items():
            rates[key].append(job.rate())
    return rates


def fastest(jobs: Iterable[Job], repeats: int = 2) -> Job:
    """The job with the highest median rate."""
    rates = alternate(dict(enumerate(jobs := list(jobs))), repeats)
    return jobs[max(rates, key=lambda key: statistics.median(rates[key]))]


# State of a contender's process.
_contender: Any = None
_works: dict[str, Work] = {}


def _create_contender(name: str, setup: Setup) -> None:
    global _contender
    warnings.simplefilter("ignore")  # warnings of the other libraries
    _contender = importlib.import_module(f"benchmarks.contenders.{name}").Contender(setup)


def _call(method: str, settings: dict[str, Any]) -> Any:
    return getattr(_contender, method)(**settings)


def _rate(method: str, settings: dict[str, Any], threads: int, seconds: float) -> float:
    """Repeat the work for at least ``seconds``, after one warm-up in this turn."""
    torch.set_num_threads(threads)
    key = f"{method} {settings} {threads}"
    if key not in _works:
        _works[key] = _call(method, settings)
    work = _works[key]
    work.before()
    work.run()
    count = elapsed = 0.0
    while True:
        work.before()
        start = time.perf_counter()
        count += work.run()
        elapsed += time.perf_counter() - start
        if elapsed >= seconds:
            return count / elapsed
