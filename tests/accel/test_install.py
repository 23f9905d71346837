"""What is installed is told, and nothing needs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agents import accel
from agents.generation import decoding

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TEXTGEN_ACCEL", raising=False)
    yield
    accel.install(1)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_it_says_what_it_installs_and_can_be_turned_off(monkeypatch: pytest.MonkeyPatch):
    assert accel.install(2) == "large decodes over 2 processes"
    assert decoding.runner is accel.workers.spread
    assert accel.install(1) == "none"
    assert decoding.runner is decoding.direct
    monkeypatch.setenv("TEXTGEN_ACCEL", "0")
    assert accel.install(2) == "none"
    assert decoding.runner is decoding.direct


def test_without_the_folder_a_command_starts_and_says_so(tmp_path: Path):
    """``agents`` without ``accel`` computes; no other file of the project needs it."""
    for package in ("agents", "textgen_env"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("accel", "__pycache__"))
    script = """
from omegaconf import OmegaConf
from agents.runs.machine import use_machine
import agents.training.trainer, agents.evaluation.validation
use_machine(OmegaConf.create({"device": "cpu", "precision": "float32", "threads": 1, "workers": None}))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert "accel: none" in " ".join(done.stderr.split()), done.stderr


def test_no_other_file_imports_it():
    files = [path for folder in ("agents", "textgen_env") for path in (ROOT / folder).rglob("*.py")]
    others = [path for path in files if "accel" not in path.parts and "accel" in path.read_text()]
    assert [path.name for path in others] == ["machine.py"]
