"""Runs commands as a user does, in this process or another; overrides that make them small."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from textgen_env.terminal import console

ROOT = Path(__file__).parents[2]

CPU = ("device=cpu", "precision=float32")
SMALL_STUDENT = ("student.layers=1", "student.width=16", "student.heads=2", "student.ffn=16")
SMALL_TEACHER = ("teacher.layers=1", "teacher.width=16", "teacher.heads=2", "teacher.ffn=16")

TINY = [*SMALL_STUDENT, "train.validation_rows=8", "evaluate.speed_rows=8", "evaluate.rows=8"]
COPY = ["env=Copy-v0", "env.train=300", "train.batch_tokens=64", "student.dropout=0.1", *TINY]
TEACHER = [
    *SMALL_TEACHER,
    *("teacher.train.steps=4", "teacher.train.batch_tokens=128"),
    *("teacher.train.validations=2", "teacher.train.validation_rows=4"),
]
TINY_RUN = [
    *(*SMALL_STUDENT, "student.dropout=0.0", *CPU),
    *("train.steps=6", "train.validations=1", "train.batch_tokens=128", "train.validation_rows=4"),
    *("evaluate.speed_rows=4", "evaluate.rows=12"),
]
TRAINED_TEACHER = [
    *(*SMALL_TEACHER, "teacher.train.steps=15", "teacher.train.batch_tokens=128"),
    *("teacher.train.lr=0.05", "teacher.train.warmup=1"),  # enough for its outputs to end
    *("teacher.train.validations=1", "teacher.train.validation_rows=4"),
]
TEXT = [
    *("env=IWSLT-v0", "env.corpus=bundled", "env.bundled_pairs=120"),
    *("env.vocabulary=300", "env.horizon=24", *TRAINED_TEACHER),
]
# A run with all phases: it trains a teacher, generates demonstrations and trains a student on them.
SEQKD = [
    *("env=Copy-v0", "env.train=200", "teacher=transformer", *TRAINED_TEACHER, *TINY_RUN),
    *("algorithm=seqkd", "out=run"),
]


def command(script, *overrides):
    return [sys.executable, str(ROOT / "experiments" / script), *overrides]


def run(script, *overrides, cwd, code=0, path=()):
    """Run a command in a process of its own.

    Args:
        script: File name of the script, such as "dagger.py".
        overrides: Its arguments.
        cwd: Working directory.
        code: The expected exit code.
        path: Folders to search for modules.

    Returns:
        Its standard error.
    """
    process = subprocess.run(
        command(script, *overrides),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(*path),
    )
    assert process.returncode == code, process.stderr[-3000:]
    return process.stderr


def run_in_process(script, *overrides, code=0):
    """Run the command of the module ``script`` in this process.

    Args:
        script: The imported module, such as ``dagger``.
        overrides: Its arguments.
        code: The expected exit code.

    Returns:
        What it prints on the console.
    """
    name, exit_code = script.__name__, 0
    with pytest.MonkeyPatch.context() as patch, console.capture() as captured:
        patch.setattr(sys, "argv", [name, *map(str, overrides)])
        try:
            cli.run(script.main, name)
        except SystemExit as error:
            exit_code = error.code
    output = captured.get()
    assert exit_code == code, output
    assert "Traceback" not in output
    return output


def environment(*path):
    """The environment of a command, with this project and the folders ``path`` on PYTHONPATH."""
    folders = os.pathsep.join(map(str, [ROOT, *path]))
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": folders}
