"""The clock books every second once."""

import pytest

from textgen_env import profiler as clock
from textgen_env.profiler import Clock, phase


@pytest.fixture
def now(monkeypatch):
    """A time that passes only when the test says so."""
    time = [0.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: time[0])

    def wait(seconds):
        time[0] += seconds

    return wait


def test_a_phase_inside_another_is_taken_out_of_it(now):
    with Clock({}, rest="gradient") as found:
        now(1)
        with phase("decode"):
            now(2)
            with phase("teacher"):
                now(4)
            now(8)
        now(16)
    now(32)
    assert found.seconds == {"gradient": 17, "decode": 10, "teacher": 4}


def test_seconds_add_up_over_clocks_and_after_an_error(now):
    seconds = {"decode": 1.0}
    clock = Clock(seconds, rest="rest")

    def fail():
        with clock, phase("decode"):
            now(2)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    with phase("decode"):
        now(4)
    assert seconds == {"decode": 3.0, "rest": 0.0}
