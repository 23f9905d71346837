"""The memory of ImitKD training as ``dagger.py`` runs it, including validations and checkpoints."""

from __future__ import annotations

import multiprocessing
import re
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

import cli
import dagger
from agents.generation.beam import beam_search
from agents.generation.demonstrations import BEAM
from agents.model import build_policy
from agents.runs.cached_teacher import TEACHER_KEYS
from agents.runs.machine import resolve_machine
from agents.runs.run import Run
from agents.runs.student import build_student
from agents.runs.task import build_task
from agents.runs.teacher import Teacher
from agents.runs.training import build_algorithm
from benchmarks.material import Setup
from textgen_env.errors import UserError
from textgen_env.oracles.policy import PolicyOracle

PROC = Path("/proc")
KILOBYTES = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
OVERRIDES = [
    *("env=IWSLT-v0", "preset=paper", "env.corpus=bundled"),
    *("algorithm=imitkd_full", "train.steps=2000"),
]


class MemoryRecorder(PolicyOracle):
    """An oracle that records the memory in use and its peak at every query, several times a step.

    Both include the current private memory of the decoding workers.
    """

    resident: list[int]
    peak: list[int]

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Record the memory, then query the policy."""
        resident, peak = memory_in_use()
        self.resident.append(resident)
        self.peak.append(max([*self.peak[-1:], peak]))
        return super().log_probs(source, prefix, mask)


def memory_in_use() -> tuple[int, int]:
    """Current and peak bytes of this process, plus the current private bytes of its workers."""
    process, workers = read_proc("self", "status"), 0
    for worker in multiprocessing.active_children():
        sizes = read_proc(str(worker.pid), "smaps_rollup")
        workers += sizes["Private_Clean"] + sizes["Private_Dirty"]
    return process["VmRSS"] + workers, process["VmHWM"] + workers


def read_proc(process: str, file: str) -> dict[str, int]:
    """The sizes in /proc/PROCESS/FILE in bytes, by name."""
    return {
        name: 1024 * int(kilobytes)
        for name, kilobytes in KILOBYTES.findall((PROC / process / file).read_text())
    }


class Contender:
    """Trains as ``dagger.py`` does and records memory."""

    def __init__(self, setup: Setup) -> None:
        if not (PROC / "self" / "smaps_rollup").is_file():
            raise UserError(
                f"suite=memory needs {PROC}/self/smaps_rollup of Linux; choose another suite"
            )
        torch.set_num_threads(setup.threads)

    def train(self, overrides: list[str]) -> tuple[int, list[int], list[int]]:
        """Train with an untrained teacher, which needs as much memory as a trained one.

        Returns:
            The number of steps; the bytes in use and the peak so far at every query.
        """
        keys = {override.partition("=")[0] for override in overrides}
        defaults = [default for default in OVERRIDES if default.partition("=")[0] not in keys]
        config = cli.read("dagger", [*defaults, *overrides])
        machine, task = resolve_machine(config), build_task(config)
        vocabulary, other_keys = task.vocabulary, ("name", *TEACHER_KEYS)
        settings = {key: value for key, value in config.teacher.items() if key not in other_keys}
        teacher = build_policy(config.teacher.name, settings, vocabulary, seed=0)
        teacher.to(machine.device).requires_grad_(False)
        oracle = MemoryRecorder(teacher, partial(beam_search, width=BEAM), vocabulary, vocabulary)
        oracle.resident, oracle.peak = [], []
        with TemporaryDirectory() as folder:
            student = build_student(config, task).to(machine.device)
            about = Teacher(oracle, oracle.demonstrate, {})
            run = Run(Path(folder), config, machine, task, about, student)
            progress, _ = dagger.distill(run, build_algorithm(config, task, student, oracle))
        return progress.step, oracle.resident, oracle.peak
