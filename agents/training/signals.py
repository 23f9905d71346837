"""Handles SIGINT (Ctrl-C), SIGTERM and SIGHUP, which users and clusters send to end a run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Interrupted(KeyboardInterrupt):
    """One of ``SIGNALS`` arrived; the message, if any, says what was saved and how to resume.

    Attributes:
        number: the number of the signal.
    """

    def __init__(self, message: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number


def exit_code(error: BaseException) -> int:
    """128 plus the signal's number, by convention: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + int(getattr(error, "number", signal.SIGINT))


@contextmanager
def handle_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Install ``handler`` for ``SIGNALS``; an ignored SIGHUP (nohup) stays ignored.

    Does nothing outside the main thread, where Python allows no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [
        number
        for number in SIGNALS
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def raise_interrupted(number: int, frame: FrameType | None) -> None:
    """A handler that raises ``Interrupted``."""
    raise Interrupted(number=number)


@contextmanager
def defer_signals() -> Iterator[list[int]]:
    """Only record the first signal, so that an update is never torn; the second one raises.

    Yields:
        The list of received signals.
    """
    received: list[int] = []

    def record(number: int, frame: FrameType | None) -> None:
        if received:
            raise Interrupted(number=number)
        received.append(number)

    with handle_signals(record):
        yield received
