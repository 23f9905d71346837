"""Locks that admit one process at a time to a folder.

The operating system releases the lock of a process that ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from textgen_env.errors import UserError
from textgen_env.terminal import console

LOCK_FILE = "lock"  # stays in the folder; its existence does not mean that a process holds the lock


@contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock of ``folder``, which is created if it is missing.

    Args:
        folder: the folder that one process at a time may write.
        wait: if another process holds the lock, print a message and wait instead of failing.

    Raises:
        UserError: another process holds the lock (unless ``wait``), or the folder is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise UserError(
                    f"{folder} is in use by another run; wait for its end, or choose another out="
                ) from None
            message = f"waiting for another run that writes {folder}"
            console.print(message, markup=False, soft_wrap=True)
            lock.acquire()
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether another process holds the lock of ``folder`` now."""
    if not (folder / LOCK_FILE).is_file():
        return False
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
