"""A finished run that tests corrupt and resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import cli
import dagger
from support.commands import SEQKD, TEXT, TINY_RUN, run_in_process


@pytest.fixture
def without_report(monkeypatch):
    """Runs draw no plots, which take half of their time."""
    monkeypatch.setattr("agents.reporting.save_report", lambda *args: None)


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Two students of one exact expert, and one of a teacher trained on text."""
    folder = tmp_path_factory.mktemp("runs")
    overrides = {
        "bc": ["env=Copy-v0", "env.train=200", "algorithm=bc"],
        "imitkd": ["env=Copy-v0", "env.train=200", "algorithm=imitkd"],
        "text": TEXT,
    }
    for name in overrides:
        config = cli.read("dagger", [*overrides[name], *TINY_RUN, f"out={folder / name}"])
        dagger.main(config)
    return {name: folder / name for name in overrides}


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A folder with the finished run ``run`` of ``SEQKD`` and its cache, ``cache``."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGEN_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        run_in_process(dagger, *SEQKD)
    return folder


@pytest.fixture
def workspace(finished, tmp_path, monkeypatch, without_report) -> Path:
    """A copy of ``finished`` as the working directory."""
    folder = tmp_path / "workspace"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TEXTGEN_CACHE", str(folder / "cache"))
    path = Path("run/results.json")  # names the teacher by its absolute path
    path.write_text(path.read_text().replace(str(finished), str(folder)))
    return folder


@pytest.fixture
def empty_workspace(tmp_path, monkeypatch, without_report) -> Path:
    """An empty working directory with an empty cache."""
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scores():
    """A function that returns the scores of a finished run."""
    return lambda run: json.loads(Path(run, "results.json").read_text())["scores"]
