"""Commands as a user runs them, and overrides that make them small."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


TINY = [
    *("student.layers=1", "student.width=16", "student.heads=2", "student.ffn=16"),
    *("train.validation_rows=8", "evaluate.speed_rows=8", "evaluate.rows=8"),
]


COPY = ["env=Copy-v0", "env.train=300", "train.batch_tokens=64", "student.dropout=0.1", *TINY]


TEACHER = [
    *("teacher.layers=1", "teacher.width=16", "teacher.heads=2", "teacher.ffn=16"),
    *(
        "teacher.train.steps=4",
        "teacher.train.batch_tokens=128",
        "teacher.train.validations=2",
        "teacher.train.validation_rows=4",
    ),
]


def command(script, *words):
    return [sys.executable, str(ROOT / "experiments" / script), *words]


def run(script, *words, cwd, code=0, path=()):
    """The standard error of a command that ends with ``code``; ``path`` is searched for modules."""
    done = subprocess.run(
        command(script, *words),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(*path),
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done.stderr


def environment(*path):
    folders = os.pathsep.join(map(str, [ROOT, *path]))
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": folders}


TINY_RUN = [
    *(
        "student.layers=1",
        "student.width=16",
        "student.heads=2",
        "student.ffn=16",
        "student.dropout=0.0",
        "device=cpu",
    ),
    *(
        "train.steps=6",
        "train.validations=1",
        "train.batch_tokens=128",
        "train.validation_rows=4",
        "precision=float32",
    ),
    *("evaluate.speed_rows=4", "evaluate.rows=12"),
]

TEXT = [
    *(
        "env=IWSLT-v0",
        "env.corpus=bundled",
        "env.bundled_pairs=120",
        "env.vocabulary=300",
        "env.horizon=24",
    ),
    *(
        "teacher.layers=1",
        "teacher.width=16",
        "teacher.heads=2",
        "teacher.ffn=16",
        "teacher.train.steps=15",
    ),
    *("teacher.train.lr=0.05", "teacher.train.warmup=1"),  # enough for its outputs to end
    *(
        "teacher.train.validations=1",
        "teacher.train.validation_rows=4",
        "teacher.train.batch_tokens=128",
    ),
]

CPU = ("device=cpu", "precision=float32")
