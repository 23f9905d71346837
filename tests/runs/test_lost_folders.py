"""Disks that fill up and run folders that are deleted during a run: one line and exit code 2."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest

import dagger
from support.commands import SEQKD, run_in_process


@pytest.mark.parametrize("limit", [0, 300, 20_000])
def test_run_on_a_full_disk_gives_one_line_and_can_be_repeated(limit, empty_workspace):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        output = run_in_process(dagger, *SEQKD, code=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    last_line = output.strip().splitlines()[-1]
    assert last_line.startswith("error: cannot write ")
    assert last_line.endswith("File too large")
    resume = ["resume=true"] if Path("run/config.yaml").exists() else []
    run_in_process(dagger, *SEQKD, *resume)


@pytest.mark.parametrize("step", ["generate_outputs", "finish_run"])
def test_run_folder_deleted_before_a_step_is_named(step, empty_workspace, monkeypatch):
    function = getattr(dagger, step)

    def delete_and_run(*args):
        shutil.rmtree("run")
        return function(*args)

    monkeypatch.setattr(dagger, step, delete_and_run)
    output = run_in_process(dagger, *SEQKD, code=2)
    assert "error: run/config.yaml: cannot be read" in output
    assert not Path("run/results.json").exists()
