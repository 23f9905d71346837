"""One process at a time in a folder.  The operating system drops the lock of a process that ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from textgen_env.errors import UserError
from textgen_env.terminal import console

LOCK = "lock"  # the file's name; it stays in the folder and means nothing when nobody holds it


@contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock of ``folder``, which is made if necessary.

    Args:
        folder: what only one process at a time may write.
        wait: wait for another process, and say so, instead of refusing.

    Raises:
        UserError: another process holds it (unless ``wait``), or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise UserError(
                    f"{folder} is in use by another run; wait for its end, or choose another out="
                ) from None
            console.print(
                f"waiting for another run that writes {folder}", markup=False, soft_wrap=True
            )
            lock.acquire()
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()
