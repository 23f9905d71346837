"""Ctrl-C, SIGTERM and SIGHUP: what a user or a cluster sends to end a run.  All three are handled alike."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Stopped(KeyboardInterrupt):
    """One of ``SIGNALS`` arrived; raised where the program stands."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def exit_code(error: BaseException) -> int:
    """128 and the signal's number, by convention: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + int(getattr(error, "number", signal.SIGINT))


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """``handler`` receives the three signals; a SIGHUP that is ignored (nohup) stays so, as all do outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    own = [
        number
        for number in SIGNALS
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.signal(number, handler) for number in own}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def stop(number: int, frame: FrameType | None) -> None:
    """A handler that raises ``Stopped``."""
    raise Stopped(number)


@contextmanager
def deferred() -> Iterator[list[int]]:
    """The first signal is only noted in the list, so that a step is never torn; a second one raises ``Stopped`` at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise Stopped(number)
        received.append(number)

    with handled(note):
        yield received
