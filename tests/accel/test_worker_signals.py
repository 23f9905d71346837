"""Decoding workers end with their parent, whether it is terminated or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from support.commands import COPY, ROOT, environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")

DAGGER_WITH_WORKERS = """
import runpy, sys
sys.path.insert(0, "experiments")
from agents.accel import workers
from agents.training import saving

def save(*args):
    save_tensors(*args)
    print("saved", flush=True)

save_tensors, saving.save_tensors = saving.save_tensors, save
workers.MIN_ROWS, workers.MIN_WORK = 1, 0  # split every decode
runpy.run_path("experiments/dagger.py", run_name="__main__")
"""


def test_sigterm_to_the_process_group_ends_all_workers(tmp_path):
    """A cluster sends SIGTERM to every process of a job."""
    overrides = [
        *(*COPY, "algorithm=dagger", "train.steps=4000", "train.validations=4000", "workers=2"),
        *("env.valid=200", "env.horizon=40", f"out={tmp_path / 'run'}"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", DAGGER_WITH_WORKERS, *overrides],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "saved\n"
    children = psutil.Process(process.pid).children()
    assert children
    os.killpg(process.pid, signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, stderr
    assert "Traceback" not in stderr
    assert "resume with: " in stderr
    assert not any(child.is_running() for child in children)


BLOCKED_DECODE = """
import os, signal, torch
from agents import accel
from agents.accel import workers
from agents.generation.decoding import greedy
from agents.policies.transformer import TransformerPolicy

class Blocked(TransformerPolicy):
    def step(self, token, state):
        os.write(1, b"decoding\\n")
        signal.pause()

workers.MIN_ROWS, workers.MIN_WORK = 1, 0
accel.install(3)
policy = Blocked(9, layers=1, width=16, heads=2, ffn=16).eval()
greedy(policy, torch.full((6, 3), 4), 3)
"""


def test_workers_end_when_their_parent_is_killed_during_a_decode():
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCKED_DECODE],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    for _ in range(3):
        assert process.stdout.readline() == "decoding\n"
    children = psutil.Process(process.pid).children()
    assert len(children) == 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
