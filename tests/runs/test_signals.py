"""Signals at any time: the run says how to resume, and the resumed run ends with equal results."""

from __future__ import annotations

import signal
from itertools import count
from pathlib import Path

import pytest

import compare
import dagger
from agents.algorithms.bc import BC
from agents.discovery import find_algorithm
from agents.evaluation import validation
from agents.runs import demonstrations, evaluation
from agents.runs.folder import resumable
from agents.training.signals import Interrupted
from support.cases import others_slow
from support.commands import COPY, SEQKD, run_in_process
from support.training import equal_checkpoints

EXIT_CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def raising(function, number):
    """``function``, but a signal arrives before its first call."""
    calls = count()

    def wrapper(*args, **settings):
        if next(calls) == 0:
            signal.raise_signal(number)
        return function(*args, **settings)

    return wrapper


def raise_in(patch, owner, name, number=signal.SIGTERM):
    patch.setattr(owner, name, raising(getattr(owner, name), number))


@pytest.fixture
def sighup():
    """SIGHUP has its default handler, even if the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


PHASES = {
    "teacher": (BC, "loss", "(teacher); saved in "),
    "demonstrations": (demonstrations, "save_tensors", "interrupted"),
    "student": (find_algorithm("seqkd").func, "loss", "saved in "),
    "validation": (validation, "mean_nll", "saved in "),
    "evaluation": (dagger, "generate_outputs", "interrupted"),
    "speed": (evaluation, "decoding_speed", "interrupted"),
    "report": (dagger, "finish_run", "interrupted"),
}


@pytest.mark.parametrize(
    ("owner", "name", "message"),
    others_slow(PHASES, "teacher", "demonstrations", "student", "report"),
)
def test_run_interrupted_in_any_phase_resumes_to_the_same_results(
    finished, empty_workspace, scores, owner, name, message
):
    with pytest.MonkeyPatch.context() as patch:
        raise_in(patch, owner, name)
        output = run_in_process(dagger, *SEQKD, code=143)
    assert message in output
    overrides = output.split("resume with: python experiments/dagger.py ")[1].split()
    assert overrides[-2:] == ["out=run", "resume=true"]
    run_in_process(dagger, *overrides)
    assert scores("run") == scores(finished / "run")
    assert equal_checkpoints(Path("run"), finished / "run")


@pytest.mark.parametrize("name", EXIT_CODES)
def test_each_signal_has_its_exit_code_and_handlers_are_restored(name, empty_workspace, sighup):
    numbers = [getattr(signal, name) for name in EXIT_CODES]
    before = [*map(signal.getsignal, numbers)]
    with pytest.MonkeyPatch.context() as patch:
        raise_in(patch, BC, "loss", getattr(signal, name))
        run_in_process(dagger, *COPY, "algorithm=bc", "out=run", code=EXIT_CODES[name])
    assert [*map(signal.getsignal, numbers)] == before


@pytest.mark.parametrize(
    ("owner", "name"), others_slow({"run": (BC, "loss"), "table": (compare, "write_comparison")})
)
def test_interrupted_comparison_resumes(owner, name, empty_workspace):
    overrides = [
        *(*COPY, "train.steps=4", "train.validations=1", "out=c"),
        *("algorithms=[bc]", "students=[transformer]", "seeds=[0]"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        raise_in(patch, owner, name)
        output = run_in_process(compare, *overrides, code=EXIT_CODES["SIGTERM"])
    assert output.count("resume with: python experiments/compare.py") == 1
    run_in_process(compare, *overrides)
    assert Path("c/comparison.md").is_file()


def test_signal_ends_a_sweep(empty_workspace):
    with pytest.MonkeyPatch.context() as patch:
        raise_in(patch, BC, "loss")
        sweep = [*COPY, "algorithm=bc", "--multirun", "seed=0,1"]
        output = run_in_process(dagger, *sweep, code=EXIT_CODES["SIGTERM"])
    assert "job 0 (" in output
    assert "job 1 (" not in output
    assert "resume with: " in output


def test_resume_hint_of_the_outer_command_replaces_the_inner_one():
    with (
        pytest.raises(Interrupted, match=r"^saved\nresume with: outer$") as error,
        resumable("outer"),
        resumable("inner"),
    ):
        raise Interrupted("saved", signal.SIGTERM)
    assert error.value.number == signal.SIGTERM


def test_second_signal_stops_at_once(empty_workspace):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BC, "loss", raising(raising(BC.loss, signal.SIGTERM), signal.SIGINT))
        output = run_in_process(dagger, *COPY, "algorithm=bc", "out=run", code=143)
    assert "interrupted" in output.splitlines()
    assert not Path("run/checkpoints").exists()
