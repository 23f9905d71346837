"""Threads and worker processes, as the command line sets them."""

import re
import sys

import pytest
import torch
from omegaconf import OmegaConf

from agents import accel
from agents.accel import workers
from agents.runs.machine import use_machine


@pytest.mark.skipif(sys.platform != "linux", reason="decodes are split on Linux only")
def test_threads_and_workers_are_used_and_told(capsys, monkeypatch):
    monkeypatch.delenv("TEXTGEN_ACCEL", raising=False)
    before = torch.get_num_threads()
    try:
        use_machine(
            OmegaConf.create(
                {"device": "cpu", "precision": "float32", "threads": 2, "workers": None}
            )
        )
        assert (torch.get_num_threads(), workers.most_workers()) == (2, 2)
        use_machine(
            OmegaConf.create(
                {"device": "cpu", "precision": "float32", "threads": None, "workers": 3}
            )
        )
        assert (torch.get_num_threads(), workers.most_workers()) == (2, 3)
    finally:
        torch.set_num_threads(before)
        accel.install(1)
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(
        r"computing: float32 on cpu, 2 CPU threads, accel: .*large decodes over 2 processes", said
    )
    assert re.search(
        r"computing: float32 on cpu, 2 CPU threads, accel: .*large decodes over 3 processes", said
    )
