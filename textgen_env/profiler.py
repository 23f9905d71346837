"""What a training spends: seconds by phase, and counts such as decoded tokens.

Code that does the work says what it does, ``with phase("teacher")`` or ``count("decoded", 128)``; it is recorded by the
profiler that runs, and costs nothing where none does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_running: ContextVar[Profiler | None] = ContextVar("running", default=None)


class Profiler:
    """Seconds by phase, and counts, of what happens in ``with profiler:``.

    A phase inside another is taken out of it, so that all seconds add up to the whole. On a GPU a phase has the time of
    launching its work, and whoever waits for the GPU has the work itself.

    Args:
        seconds: added to; usually an empty dict.
        rest: the name of all that is in no phase.
    """

    def __init__(self, seconds: dict[str, float], rest: str) -> None:
        self.seconds, self.counts = seconds, dict[str, int]()
        self._phases = [rest]

    def __enter__(self) -> Profiler:
        self._token = _running.set(self)
        self._since = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self._record()
        _running.reset(self._token)

    def _record(self) -> None:
        now, name = time.perf_counter(), self._phases[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What happens in this block is the phase ``name``."""
        self._record()
        self._phases.append(name)
        try:
            yield
        finally:
            self._record()
            self._phases.pop()


@contextmanager
def phase(name: str) -> Iterator[None]:
    """What happens in this block is the phase ``name`` of the running profiler."""
    profiler = _running.get()
    if profiler is None:
        yield
        return
    with profiler.phase(name):
        yield


def count(name: str, number: int) -> None:
    """Add ``number`` to the count ``name`` of the running profiler."""
    profiler = _running.get()
    if profiler is not None:
        profiler.counts[name] = profiler.counts.get(name, 0) + number
