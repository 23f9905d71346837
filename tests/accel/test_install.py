"""Accelerations are optional: ``install`` says what it did, and nothing else needs the folder."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import accel
from agents.generation import decoding
from agents.runs.machine import install_accel

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("TEXTGEN_ACCEL", raising=False)
    yield
    accel.install(1)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is glibc's")
def test_install_reports_what_it_did_and_can_be_turned_off(monkeypatch: pytest.MonkeyPatch):
    assert accel.install(2) == "freed memory is kept, large decodes over 2 processes"
    assert decoding.runner is accel.workers.decode_in_workers
    assert accel.install(1) == "freed memory is kept"
    assert decoding.runner is decoding.run_in_process
    monkeypatch.setenv("TEXTGEN_ACCEL", "0")
    assert accel.install(2) == "none"
    assert decoding.runner is decoding.run_in_process


def test_commands_run_without_the_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "agents.accel", None)  # importing it fails
    assert install_accel(2) == "none"
    assert decoding.runner is decoding.run_in_process


def test_only_machine_imports_it():
    paths = [path for name in ("agents", "textgen_env") for path in (ROOT / name).rglob("*.py")]
    mentions = [
        path.relative_to(ROOT)
        for path in paths
        if path.parent.name != "accel" and "accel" in path.read_text()
    ]
    assert mentions == [Path("agents/runs/machine.py")]
