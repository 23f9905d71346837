"""Every command on two runs: a causal model on chats, and an encoder–decoder with LoRA."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import compare
import dagger
import export
import exposure_bias
import generate
import interop
import score
import show
import speed
from agents.model import Model
from support.chat_templates import save_chat_model
from support.chats import chats, write_rows
from support.commands import CPU, run_in_process
from support.exports import run_readme
from support.pretrained_models import FAMILIES, LINES

pytest.importorskip("peft", reason="peft is not installed (extra: hf)")

TRAINING = [
    *("algorithm=imitkd_full", "train.steps=4", "train.batch_tokens=64", "train.lr=0.05"),
    *("train.warmup=1", "train.validations=1", "train.validation_rows=4"),
    *("evaluate.speed_rows=2", "evaluate.rows=12", *CPU),
]
LORA = ["student.lora.rank=2", "student.lora.targets=[q,wo]"]
TASKS = {
    "chat": ["env=Chat-v0", "env.data=data.jsonl", "env.source_limit=60", "env.horizon=10"],
    "lora": ["env=ParallelText-v0", "env.data=data.tsv", "env.source_limit=60", "env.horizon=30"],
}
STUDENTS = {
    "chat": ["student=hf", "student.path=model", "teacher.path=hf:model"],
    "lora": ["student=hf", "student.path=model", *LORA, "teacher.path=student"],
}
SPLITS = ["train"] * 20 + ["valid"] * 8 + ["test"] * 12
INPUTS = [*LINES[:3], "", "the dog <pad> </s>"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=TASKS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def home(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the folder ``run``, its model and its data."""
    home = tmp_path_factory.mktemp(kind)
    torch.manual_seed(0)
    if kind == "chat":
        save_chat_model(home / "model", "llama")
        write_rows(
            home / "data.jsonl",
            [{"split": s} | row for s, row in zip(SPLITS, chats(40), strict=True)],
        )
    else:
        FAMILIES["t5"](home / "model")
        rows = [f"{s}\t{LINES[i % 7]} {i}\t{LINES[-i % 7]}\n" for i, s in enumerate(SPLITS)]
        (home / "data.tsv").write_text("split\tde\ten\n" + "".join(rows))
    (home / "input.txt").write_text("".join(f"{line}\n" for line in INPUTS))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("TEXTGEN_CACHE", str(home / "cache"))
        patch.setattr("agents.reporting.save_report", lambda *args: None)
        run_in_process(dagger, *TASKS[kind], *STUDENTS[kind], *TRAINING, "out=run")
    return home


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, without_report: None) -> Path:
    monkeypatch.chdir(home)
    monkeypatch.setenv("TEXTGEN_CACHE", str(home / "cache"))
    return home / "run"


def read(path: str) -> dict:
    return json.loads(Path(path).read_text())


def generates(kind: str) -> None:
    run_in_process(generate, "run=run", "input=input.txt", "output=output.txt", *CPU)
    texts = Model.load("run").generate([line for line in INPUTS if line])
    lines = Path("output.txt").read_text().split("\n")[:-1]
    assert [line for line in lines if line] == [" ".join(t.splitlines()) for t in texts if t]
    assert lines[3] == ""


def scores(kind: str) -> None:
    run_in_process(score, "run=run", "teacher=true", "rows=12", *CPU, "out=scored")
    results = read("run/results.json")["scores"]
    for who, entry in read("scored/scores.json")["scores"].items():
        del entry["intervals"]
        assert entry == results[who]


def measures_speed(kind: str) -> None:
    words = ["rows=2", "beams=[1]", "batch_sizes=[2]", "threads=[1]", "rounds=1", *CPU]
    assert "student" in run_in_process(speed, "run=run", *words)


def shows_a_sentence(kind: str) -> None:
    run_in_process(show, "run=run", "sentence=1", *CPU)
    assert Path("run/sentence-test-1.html").read_text().count('class="step') > 0


def measures_exposure_bias(kind: str) -> None:
    run_in_process(exposure_bias, "run=[run]", "rows=12", "resamples=10", *CPU, "out=bias")
    (found,) = read("bias/exposure_bias.json")["runs"].values()
    assert found["sentences"] == 12


def exports(kind: str) -> None:
    """The outputs and the texts of the script in README.md are those of the student."""
    run_in_process(export, "run=run", "rows=4", "batch_sizes=[2]", CPU[0])
    assert read("run/export-float32/export.json")["equal"] == 4
    lines = LINES[:3]
    texts = Model.load("run").generate(lines)
    outputs = run_readme(Path("run/export-float32"), "\n".join(lines).encode())
    assert outputs == [" ".join(text.splitlines()) for text in texts]


def merges(kind: str) -> None:
    code = 0 if kind == "lora" else 2
    output = run_in_process(export, "run=run", "format=merged", code=code)
    assert ("merged model: " if kind == "lora" else "has no adapter; run/model is") in output


def compares(kind: str) -> None:
    words = [word for word in STUDENTS[kind] if word != "student=hf"]
    lists = ["students=[hf]", "algorithms=[mle,imitkd_full]", "seeds=[0]", "beams=[1,2]"]
    training = [word for word in TRAINING if not word.startswith("algorithm")]
    run_in_process(compare, *lists, *TASKS[kind], *words, *training, "out=compared")
    rows = read("compared/comparison.json")["rows"]
    assert [row["algorithm"] for row in rows] == ["teacher", "mle", "imitkd_full"]


def trains_with_another_library(kind: str) -> None:
    pytest.importorskip("stable_baselines3")
    words = ["trainer=sb3_ppo", "steps=16", "batch=8", "envs=2", "epochs=1", "rows=4", *CPU]
    settings = ["student=hf", *(LORA if kind == "lora" else [])]
    run_in_process(interop, *TASKS[kind], *settings, "init=run", *words, "out=trained")
    assert Model.load("trained").generate(LINES[:2]) is not None
    settings[1:1] = ["student.path=model"]
    run_in_process(interop, *TASKS[kind], *settings, "teacher.path=run", *words, "out=fresh")


COMMANDS = {
    function.__name__: function
    for function in (
        *(generates, scores, measures_speed, shows_a_sentence, measures_exposure_bias),
        *(exports, merges, compares, trains_with_another_library),
    )
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_reads_the_run(command: Callable[[str], None], kind: str, run: Path) -> None:
    command(kind)
