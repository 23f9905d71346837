"""A command uses and prints the requested threads and workers."""

import sys

import pytest
import torch
from omegaconf import OmegaConf

from agents import accel
from agents.accel import workers
from agents.runs.machine import use_machine


@pytest.mark.skipif(sys.platform != "linux", reason="decodes are split on Linux only")
def test_threads_and_workers_are_used_and_printed(capsys, monkeypatch):
    monkeypatch.delenv("TEXTGEN_ACCEL", raising=False)
    config = OmegaConf.create({"device": "cpu", "precision": "float32"})
    before = torch.get_num_threads()
    try:
        for settings, processes in (
            ({"threads": 2, "workers": None}, 2),
            ({"threads": None, "workers": 3}, 3),
        ):
            use_machine(OmegaConf.merge(config, settings))
            assert (torch.get_num_threads(), workers.max_workers()) == (2, processes)
            output = " ".join(capsys.readouterr().err.split())
            assert "computing: float32 on cpu, 2 CPU threads, accel: " in output
            assert f"large decodes over {processes} processes" in output
    finally:
        torch.set_num_threads(before)
        accel.install(1)
