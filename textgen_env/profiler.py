"""Training profile: seconds per phase, and counters such as generated tokens.

Code marks its work with ``with phase("teacher"):`` and ``count("decoded", 128)``. The active
profiler records it; without an active profiler these calls do nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_active: ContextVar[Profiler | None] = ContextVar("active", default=None)


class Profiler:
    """Measures the seconds per phase, and the counts, of the code in ``with profiler:``.

    The time of a nested phase is not counted in the enclosing one, so the phases sum to the total.
    Times are wall times of the CPU: GPU work is counted in the phase that waits for it.

    Args:
        seconds: Dict to which the seconds of each phase are added.
        default_phase: Name for the time outside of any phase.
    """

    def __init__(self, seconds: dict[str, float], default_phase: str) -> None:
        self.seconds, self.counts = seconds, dict[str, int]()
        self._phases = [default_phase]

    def __enter__(self) -> Profiler:
        self._token = _active.set(self)
        self._since = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self._record()
        _active.reset(self._token)

    def _record(self) -> None:
        now, name = time.perf_counter(), self._phases[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of this block as the phase ``name``."""
        self._record()
        self._phases.append(name)
        try:
            yield
        finally:
            self._record()
            self._phases.pop()


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Count the time of this block as the phase ``name`` of the active profiler."""
    profiler = _active.get()
    if profiler is None:
        yield
        return
    with profiler.phase(name):
        yield


def count(name: str, number: int) -> None:
    """Add ``number`` to the counter ``name`` of the active profiler."""
    profiler = _active.get()
    if profiler is not None:
        profiler.counts[name] = profiler.counts.get(name, 0) + number
