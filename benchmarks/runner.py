"""Contenders in processes of their own, which work in turn, and only on request."""

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

NEEDS = {
    "huggingface": "transformers",
    "ctranslate2": "ctranslate2",
    "imitation_bc": "imitation",
}  # contender → package
Key = TypeVar("Key", bound=Hashable)


def missing() -> dict[str, str]:
    """Contenders that cannot take part, and the package that is not installed."""
    return {
        contender: package for contender, package in NEEDS.items() if find_spec(package) is None
    }


class Runner:
    """A contender, in its process."""

    def __init__(self, contender: str, setup: Setup) -> None:
        self.pool, self.seconds = ProcessPoolExecutor(1, get_context("spawn")), setup.seconds
        self.pool.submit(_open, contender, setup).result()

    def call(self, method: str, **settings: Any) -> Any:
        """Call a method of the contender in its process; what it returns."""
        return self.pool.submit(_call, method, settings).result()

    def rate(self, work: str, settings: dict[str, Any], threads: int) -> float:
        """How much of the work that a method of the contender prepares is done in a second."""
        return self.pool.submit(_rate, work, settings, threads, self.seconds).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()


class Job(NamedTuple):
    """Work of a runner, with how many threads within an operator."""

    runner: Runner
    work: str
    settings: dict[str, Any]
    threads: int = 1

    def rate(self) -> float:
        """How much is done in a second."""
        return self.runner.rate(self.work, self.settings, self.threads)

    def __str__(self) -> str:
        workers = f"{self.settings['workers']} × " if "workers" in self.settings else ""
        return f"{self.settings['amp']}, {workers}{self.threads} threads"


@contextmanager
def opened(setup: Setup, *contenders: str) -> Iterator[dict[str, Runner]]:
    """``{contender: runner}`` without those that are ``missing``."""
    absent = missing()
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Runner(name, setup))
            for name in contenders
            if name not in absent
        }


def turns(jobs: dict[Key, Job], rounds: int) -> dict[Key, list[float]]:
    """The rate of every job in every round, the jobs in turn, after a warm-up."""
    for job in jobs.values():
        job.rate()
    rates: dict[Key, list[float]] = {key: [] for key in jobs}
    for _ in range(rounds):
        for key, job in jobs.items():
            rates[key].append(job.rate())
    return rates


def best(jobs: Iterable[Job], rounds: int = 2) -> Job:
    """The fastest of several ways to do the same."""
    rates = turns(dict(enumerate(jobs := list(jobs))), rounds)
    return jobs[max(rates, key=lambda key: statistics.median(rates[key]))]


_contender: Any = None  # of this process
_works: dict[str, Work] = {}


def _open(contender: str, setup: Setup) -> None:
    global _contender
    warnings.simplefilter("ignore")  # the peers' own
    _contender = importlib.import_module(f"benchmarks.contenders.{contender}").Contender(setup)


def _call(method: str, settings: dict[str, Any]) -> Any:
    return getattr(_contender, method)(**settings)


def _rate(name: str, settings: dict[str, Any], threads: int, seconds: float) -> float:
    """The work is done again until it has lasted ``seconds``, once memory and caches have seen it in this turn."""
    torch.set_num_threads(threads)
    key = f"{name} {settings} {threads}"
    if key not in _works:
        _works[key] = _call(name, settings)
    work = _works[key]
    work.before()
    work.run()
    count = spent = 0.0
    while True:
        work.before()
        began = time.perf_counter()
        count += work.run()
        spent += time.perf_counter() - began
        if spent >= seconds:
            return count / spent
