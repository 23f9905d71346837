"""The profiler records every second once."""

import pytest

from textgen_env import profiler as module
from textgen_env.profiler import Profiler, count, phase


@pytest.fixture
def now(monkeypatch):
    """A time that passes only when the test says so."""
    time = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: time[0])

    def wait(seconds):
        time[0] += seconds

    return wait


def test_a_phase_inside_another_is_taken_out_of_it(now):
    with Profiler({}, rest="gradient") as found:
        now(1)
        with phase("decode"):
            now(2)
            with phase("teacher"):
                now(4)
            now(8)
        now(16)
    now(32)
    assert found.seconds == {"gradient": 17, "decode": 10, "teacher": 4}


def test_seconds_add_up_over_blocks_and_after_an_error(now):
    seconds = {"decode": 1.0}
    profiler = Profiler(seconds, rest="rest")

    def fail():
        with profiler, phase("decode"):
            now(2)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    with phase("decode"):
        now(4)
    assert seconds == {"decode": 3.0, "rest": 0.0}


def test_counts_go_to_the_running_profiler_alone():
    count("decoded", 1)
    with Profiler({}, rest="rest") as profiler:
        count("decoded", 2)
        count("decoded", 3)
    assert profiler.counts == {"decoded": 5}
