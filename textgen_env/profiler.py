"""Where the time goes: ``with phase("teacher")`` books its seconds on the clock that runs, if one does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_running: list[Clock] = []


class Clock:
    """Seconds by phase of what happens in ``with clock:``; a phase inside another is not booked twice, so they add up to all.

    seconds: as a rule an empty dict; one with figures in it is added to.  rest: the name of all that is in no phase.
    On a GPU it is the time to ask for the work that is booked, and the work itself on whoever waits for it.
    """

    def __init__(self, seconds: dict[str, float], rest: str) -> None:
        self.seconds, self._phases = seconds, [rest]

    def __enter__(self) -> Clock:
        _running.append(self)
        self._since = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self._book()
        _running.remove(self)

    def _book(self) -> None:
        now, name = time.perf_counter(), self._phases[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What happens here is ``name``."""
        self._book()
        self._phases.append(name)
        try:
            yield
        finally:
            self._book()
            self._phases.pop()


@contextmanager
def phase(name: str) -> Iterator[None]:
    """What happens here is ``name`` to the clock started last; free where none runs."""
    if not _running:
        yield
        return
    with _running[-1].phase(name):
        yield
