"""The profiler counts every second exactly once."""

import pytest

from textgen_env import profiler as module
from textgen_env.profiler import Profiler, count, phase


@pytest.fixture
def wait(monkeypatch):
    """A fake clock: ``wait(seconds)`` advances it, and nothing else does."""
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    return advance


def test_nested_phase_is_not_counted_in_its_parent(wait):
    with Profiler({}, default_phase="gradient") as profiler:
        wait(1)
        with phase("decode"):
            wait(2)
            with phase("teacher"):
                wait(4)
            wait(8)
        wait(16)
    wait(32)
    assert profiler.seconds == {"gradient": 17, "decode": 10, "teacher": 4}


def test_seconds_accumulate_and_survive_an_exception(wait):
    seconds = {"decode": 1.0}
    profiler = Profiler(seconds, default_phase="other")

    def fail():
        with profiler, phase("decode"):
            wait(2)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    with phase("decode"):  # no profiler is active
        wait(4)
    assert seconds == {"decode": 3.0, "other": 0.0}


def test_counts_go_to_the_active_profiler_only():
    count("decoded", 1)
    with Profiler({}, default_phase="other") as profiler:
        count("decoded", 2)
        count("decoded", 3)
    assert profiler.counts == {"decoded": 5}
