"""How much memory a real training takes: ImitKD as ``dagger.py`` runs it, validations and checkpoints included."""

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
from agents.runs.machine import resolve_machine
from agents.runs.run import Run
from agents.runs.student import build_student
from agents.runs.task import build_task
from agents.runs.teacher import TEACHER_KEYS, Teacher
from agents.runs.training import build_algorithm
from benchmarks.material import Setup
from textgen_env.errors import UserError
from textgen_env.oracles.policy import PolicyOracle

PROC = Path("/proc")
LINE = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
WORDS = ["env=IWSLT-v0", "preset=paper", "algorithm=imitkd_full", "train.steps=2000"]


class Watched(PolicyOracle):
    """Records at every query, several a step, how much memory the training has and had at most.

    To that of its own process comes what its decoding workers share with nobody, as they are then.
    """

    resident: list[int]
    peak: list[int]

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        resident, peak = held()
        self.resident.append(resident)
        self.peak.append(max([*self.peak[-1:], peak]))
        return super().log_probs(source, prefix, mask)


def held() -> tuple[int, int]:
    """Bytes that this process has and had at most, both with what its workers have now and share with nobody."""
    own, workers = memory("self", "status"), 0
    for worker in multiprocessing.active_children():
        theirs = memory(str(worker.pid), "smaps_rollup")
        workers += theirs["Private_Clean"] + theirs["Private_Dirty"]
    return own["VmRSS"] + workers, own["VmHWM"] + workers


def memory(process: str, file: str) -> dict[str, int]:
    """The bytes of /proc/PROCESS/FILE by name."""
    return {
        name: 1024 * int(kilobytes)
        for name, kilobytes in LINE.findall((PROC / process / file).read_text())
    }


class Contender:
    def __init__(self, setup: Setup) -> None:
        if not (PROC / "self" / "smaps_rollup").is_file():
            raise UserError(
                f"suite=memory reads {PROC}/self/smaps_rollup, which only Linux has; choose other suites"
            )
        torch.set_num_threads(setup.threads)

    def train(self, words: list[str]) -> tuple[int, list[int], list[int]]:
        """Steps; bytes in use at every query; the most until then.  An untrained teacher takes what a trained one takes."""
        given = {word.partition("=")[0] for word in words}
        config = cli.read(
            "dagger", [*(word for word in WORDS if word.partition("=")[0] not in given), *words]
        )
        machine, task = resolve_machine(config), build_task(config)
        vocabulary, own = task.vocabulary, ("name", *TEACHER_KEYS)
        settings = {key: value for key, value in config.teacher.items() if key not in own}
        teacher = build_policy(config.teacher.name, settings, vocabulary, seed=0)
        oracle = Watched(
            teacher.to(machine.device).requires_grad_(False),
            partial(beam_search, width=BEAM),
            vocabulary,
            vocabulary,
        )
        oracle.resident, oracle.peak = [], []
        with TemporaryDirectory() as folder:
            student = build_student(config, task).to(machine.device)
            run = Run(
                Path(folder),
                config,
                machine,
                task,
                Teacher(oracle, oracle.demonstrate, {}),
                student,
            )
            done, _ = dagger.distill(run, build_algorithm(config, task, student, oracle))
        return done.step, oracle.resident, oracle.peak
