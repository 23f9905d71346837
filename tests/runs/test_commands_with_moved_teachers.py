"""Every command that needs the teacher of a run accepts another place of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import dagger
import export
import exposure_bias
import generate
import score
import show
import speed
from agents.runs.moved_teacher import HASHES
from support.commands import CPU, SMALL_STUDENT, run_in_process
from support.pretrained_models import LINES, marian

TRAINING = [
    *("student=transformer", *SMALL_STUDENT, "algorithm=imitkd_full", "train.steps=2"),
    *("train.batch_tokens=64", "train.warmup=1", "train.validations=1", "train.validation_rows=4"),
    *("evaluate.speed_rows=2", "evaluate.rows=12", *CPU),
]
TASK = ["env=ParallelText-v0", "env.data=data.tsv", "env.source_limit=60", "env.horizon=30"]
SPLITS = ["train"] * 10 + ["valid"] * 4 + ["test"] * 12

COMMANDS = {
    "speed": (speed, ["run=run", "rows=2", "beams=[1]", "batch_sizes=[2]", "threads=[1]"]),
    "show": (show, ["run=run", "sentence=1"]),
    "exposure_bias": (exposure_bias, ["run=[run]", "rows=12", "resamples=10", "out=bias"]),
    "export": (export, ["run=run", "rows=2", "batch_sizes=[2]"]),
    "score": (score, ["run=run", "rows=2", "teacher=true"]),
}
Call = Callable[..., str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose teacher moved from ``teacher`` to ``moved``; ``other`` has other weights."""
    home = tmp_path_factory.mktemp("moved")
    for seed, name in enumerate(("teacher", "other")):
        torch.manual_seed(seed)
        marian(home / name)
    rows = [f"{s}\t{LINES[i % 7]} {i}\t{LINES[-i % 7]}\n" for i, s in enumerate(SPLITS)]
    (home / "data.tsv").write_text("split\tde\ten\n" + "".join(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("TEXTGEN_CACHE", str(home / "cache"))
        patch.setattr("agents.reporting.save_report", lambda *args: None)
        run_in_process(dagger, *TASK, *TRAINING, "teacher.path=hf:./teacher", "out=run")
    shutil.move(home / "teacher", home / "moved")
    return home


@pytest.fixture(params=COMMANDS)
def call(
    request: pytest.FixtureRequest,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_report: None,
) -> Call:
    if request.param == "export":
        pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed (extra: export)")
    monkeypatch.chdir(home)
    monkeypatch.setenv("TEXTGEN_CACHE", str(home / "cache"))
    script, words = COMMANDS[request.param]

    def run(*others: str, code: int = 0) -> str:
        output = run_in_process(script, *words, *CPU, *others, code=code)
        return " ".join(output.split())

    return run


def test_the_same_teacher_elsewhere_is_opened(call, home):
    assert f"teacher: opened from {home / 'moved'}" in call("teacher.path=hf:./moved")


def test_another_teacher_is_refused_in_one_line(call):
    message = "run: its teacher, hf:./teacher, had other weights than teacher.path=hf:./other"
    assert message in call("teacher.path=hf:./other", code=2)


@pytest.mark.parametrize("path", ["hf:./nowhere", "nowhere", "outputs:nowhere.txt"])
def test_a_place_without_a_teacher_is_refused_in_one_line(path, call):
    (line,) = call(f"teacher.path={path}", code=2).split("error: ")[1:]
    assert "nowhere" in line


def test_without_the_new_place_the_error_says_what_to_do(call, request):
    code = 0 if "score" in request.node.name else 2  # which scores the student alone
    assert "no such folder; if it was moved, add teacher.path=hf:FOLDER" in call(code=code)


def in_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("TEXTGEN_CACHE", str(home / "cache"))


def test_generation_needs_no_teacher(home, monkeypatch):
    in_home(home, monkeypatch)
    (home / "input.txt").write_text(f"{LINES[0]}\n")
    run_in_process(generate, "run=run", "input=input.txt", "output=output.txt", *CPU)
    assert len((home / "output.txt").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("script", "words", "reason"),
    [
        (score, [], "teacher.path does not apply: only teacher=true uses it"),
        (export, ["format=merged"], "does not apply: format=merged needs the student alone"),
    ],
)
def test_a_place_that_nothing_uses_is_refused(script, words, reason, home, monkeypatch):
    in_home(home, monkeypatch)
    assert reason in run_in_process(script, "run=run", *words, "teacher.path=hf:./moved", code=2)


def test_a_run_without_hashes_says_that_its_teacher_cannot_move(home, monkeypatch, tmp_path):
    """Of an earlier version."""
    in_home(home, monkeypatch)
    run = shutil.copytree(home / "run", tmp_path / "run")
    (run / HASHES).unlink()
    output = run_in_process(show, f"run={run}", "teacher.path=hf:./moved", *CPU, code=2)
    assert f"has no {HASHES}" in output
