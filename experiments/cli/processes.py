"""Runs jobs in processes of their own, some at a time; a job ends with the process that started it.

A job that fails or is killed stops no other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple

from cli.jobs import exit_codes
from textgen_env.terminal import console


class Job(NamedTuple):
    """A call in a process of its own.

    Attributes:
        name: for messages.
        log: file to which its output is appended.
        function: a function of a module.
        argument: its argument, which is pickled.
    """

    name: str
    log: Path
    function: Callable[[Any], None]
    argument: Any


def run_jobs(jobs: list[Job], count: int) -> dict[str, str]:
    """Run ``jobs``, at most ``count`` at a time.

    When this process is interrupted, so are the jobs; they have saved their state when it returns.

    Returns:
        ``{name: reason in one line}`` of the jobs that failed.
    """
    waiting, running, failed = list(reversed(jobs)), {}, {}
    context = multiprocessing.get_context("spawn")
    try:
        while waiting or running:
            while waiting and len(running) < count:
                job = waiting.pop()
                job.log.parent.mkdir(parents=True, exist_ok=True)
                process = context.Process(target=_work, args=(job,), name=job.name)
                process.start()
                running[process.sentinel] = (process, job)
                console.print(f"{job.name}: started, output in {job.log}", soft_wrap=True)
            for sentinel in connection.wait(list(running)):
                process, job = running.pop(sentinel)
                process.join()
                if process.exitcode:
                    failed[job.name] = _reason(process.exitcode, job.log)
                state = f"failed: {failed[job.name]}" if process.exitcode else "finished"
                left = len(waiting) + len(running)
                console.print(f"{job.name}: {state}; {left} left", soft_wrap=True)
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.join()
    return failed


def _reason(code: int, log: Path) -> str:
    """Why a job failed: the signal that killed it, or the last line of its log."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), f"exit code {code}")
    return last.removeprefix("error: ")


def _work(job: Job) -> None:
    with open(job.log, "ab") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    console.width = 1000  # one line a message
    threading.Thread(target=_interrupt_with_parent, daemon=True).start()
    with exit_codes():
        job.function(job.argument)


def _interrupt_with_parent() -> None:
    """Interrupt this process when its parent has died, so that it saves its state and ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
