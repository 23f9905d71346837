"""What is installed is told, and nothing needs it."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from agents import accel
from agents.generation import decoding
from agents.runs.machine import install_accel

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TEXTGEN_ACCEL", raising=False)
    yield
    accel.install(1)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc",
    reason="workers are forked on Linux only, the allocator is glibc's",
)
def test_it_says_what_it_installs_and_can_be_turned_off(monkeypatch: pytest.MonkeyPatch):
    assert accel.install(2) == "freed memory is kept, large decodes over 2 processes"
    assert decoding.runner is accel.workers.decode_in_workers
    assert accel.install(1) == "freed memory is kept"
    assert decoding.runner is decoding.run_in_process
    monkeypatch.setenv("TEXTGEN_ACCEL", "0")
    assert accel.install(2) == "none"
    assert decoding.runner is decoding.run_in_process


def test_without_the_folder_a_command_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "agents.accel", None)  # as if it were not there
    assert install_accel(2) == "none"
    assert decoding.runner is decoding.run_in_process


def test_no_other_file_imports_it():
    files = [
        path.relative_to(ROOT)
        for folder in ("agents", "textgen_env")
        for path in (ROOT / folder).rglob("*.py")
    ]
    others = [
        path for path in files if "accel" not in path.parts and "accel" in (ROOT / path).read_text()
    ]
    assert others == [Path("agents/runs/machine.py")]
