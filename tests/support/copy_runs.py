"""Short runs on a small Copy-v0, by commands and in Python."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import agents
from agents.model import Model
from support.commands import TINY_RUN, run_in_process
from textgen_env.tasks.task import Task

COPY = [
    *("env=Copy-v0", "env.train=200", "env.valid=20", "env.test=20", "env.symbols=5"),
    *("env.max_length=5", "env.horizon=8", *TINY_RUN),
]
QUICK = {"steps": 4, "validations": 2, "batch_tokens": 128, "precision": "float32", "log": False}


def run(command: ModuleType, *words: str, code: int = 0) -> str:
    """What the command prints, without line breaks."""
    return " ".join(run_in_process(command, *words, code=code).split())


def results(folder: Path | str) -> dict[str, Any]:
    """The results of the run in ``folder``."""
    return json.loads(Path(folder, "results.json").read_text())


def student(task: Task) -> Model:
    """A small transformer with random weights."""
    return agents.Transformer(task, layers=1, width=16, heads=2, ffn=16)
