"""How much memory a real training takes: ImitKD as ``dagger.py`` runs it, validations and checkpoints included."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

import command_line
import distil
from agents.decoding import beam
from agents.store import build_policy
from benchmarks.material import Setup
from textgen_env.errors import UserError
from textgen_env.oracle import PolicyOracle

STATUS = Path("/proc/self/status")
WORDS = ["env=IWSLT-v0", "preset=paper", "algorithm=imitkd_full", "train.steps=2000", "train.validations=2"]


class Watched(PolicyOracle):
    """Notes at every question, which is once a step, how much memory the process has and had at most."""

    resident: list[int]
    peak: list[int]

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        status = dict(re.findall(r"^(\w+):\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE))
        self.resident.append(1024 * int(status["VmRSS"]))
        self.peak.append(1024 * int(status["VmHWM"]))
        return super().log_probs(source, prefix, mask)


class Contender:
    def __init__(self, setup: Setup) -> None:
        if not STATUS.is_file():
            raise UserError(f"suite=memory reads {STATUS}, which only Linux has; choose other suites")
        torch.set_num_threads(setup.threads)

    def train(self, words: list[str]) -> tuple[list[int], list[int]]:
        """Bytes in use at every step, and the most until then.  An untrained teacher takes the memory of a trained one."""
        given = {word.partition("=")[0] for word in words}
        config = command_line.read("dagger", [*(word for word in WORDS if word.partition("=")[0] not in given), *words])
        on, world = distil.machine(config), distil.load_world(config)
        vocabulary, own = world.vocabulary, ("name", *distil.TEACHER_KEYS)
        settings = {key: value for key, value in config.teacher.items() if key not in own}
        teacher = build_policy(config.teacher.name, settings, vocabulary, torch.Generator().manual_seed(0))
        oracle = Watched(teacher.to(on.device), partial(beam, width=5), vocabulary, vocabulary)
        oracle.resident, oracle.peak = [], []
        with TemporaryDirectory() as folder:
            distil.train_student(config, world, distil.build_student(config, world), oracle, Path(folder), on)
        return oracle.resident, oracle.peak
