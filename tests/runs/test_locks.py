"""Locks: one process at a time in a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import compare
import dagger
import interop
from agents.algorithms.bc import BC
from agents.runs.locks import locked
from agents.training.signals import Interrupted
from support.commands import COPY, environment, run_in_process
from textgen_env.errors import UserError

IN_USE = "error: run is in use by another run; wait for its end, or choose another out="


@pytest.mark.parametrize(
    ("script", "overrides"),
    [
        (dagger, COPY),
        (compare, ["env=Copy-v0", "algorithms=[mle]", "seeds=[0]"]),
        (interop, ["env=Copy-v0", "trainer=sb3_ppo"]),
    ],
    ids=["dagger", "compare", "interop"],
)
def test_folder_in_use_is_rejected(script, overrides, empty_workspace):
    with locked(Path("run")):
        assert IN_USE in run_in_process(script, *overrides, "out=run", code=2)


def test_resume_of_a_folder_in_use_is_rejected(empty_workspace, monkeypatch):
    def interrupt(*args):
        raise Interrupted

    monkeypatch.setattr(BC, "loss", interrupt)
    overrides = [*COPY, "algorithm=bc", "out=run"]
    run_in_process(dagger, *overrides, code=130)
    with locked(Path("run")):
        assert IN_USE in run_in_process(dagger, *overrides, "resume=true", code=2)


HOLD = """
import sys
from pathlib import Path
from agents.runs.locks import locked

with locked(Path("run")):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_lock_of_another_process_is_released_when_it_is_killed(empty_workspace):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match="run is in use by another run"), locked(Path("run")):
            pass
    finally:
        process.kill()
        process.wait()
    with locked(Path("run")):
        pass


def test_lock_that_cannot_be_created_gives_a_one_line_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file"), locked(tmp_path / "file"):
        pass
