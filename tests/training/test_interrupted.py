"""Signals, locks, and what to do about damaged files: commands as a user runs them, interrupted, doubled, and resumed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

import cli
import compare
import dagger
import interop
import show
from agents.algorithms.bc import BC
from agents.discovery import find_algorithm
from agents.evaluation import validation
from agents.runs import demonstrations, evaluation
from agents.runs.locks import locked
from agents.runs.task import build_task
from agents.training.checkpoint import load_tensors, save_tensors
from support.commands import COPY, CPU, TEXT, TINY_RUN, environment
from support.files import flipped
from textgen_env.data.files import load_json
from textgen_env.data.vocabulary import subword_vocabulary
from textgen_env.errors import UserError
from textgen_env.terminal import console

SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def call(script, *words, code=0) -> str:
    """What a command says, run in this process; ``code`` is its exit code."""
    with pytest.MonkeyPatch.context() as patch, console.capture() as captured:
        patch.setattr(sys, "argv", [script.__name__, *map(str, words)])
        try:
            cli.run(script.main, script.__name__, passes_on=script is compare)
            found = 0
        except SystemExit as stop:
            found = stop.code
    said = captured.get()
    assert found == code, said
    assert "Traceback" not in said
    return said


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a finished run of text, ``run``, and the cache that it filled, ``cache``."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGEN_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        call(dagger, *TEXT, *TINY_RUN, "algorithm=seqkd", "out=run")
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    """A copy of ``made``, at the same relative paths, as working directory; teachers are named by absolute ones."""
    shutil.copytree(made, tmp_path / "made")
    monkeypatch.chdir(tmp_path / "made")
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "made" / "cache"))
    path = Path("run/results.json")
    path.write_text(path.read_text().replace(str(made), str(tmp_path / "made")))
    return tmp_path / "made"


def scores(run: str) -> dict:
    return json.loads(Path(run, "results.json").read_text())["scores"]


# --- damaged files: what the message advises leads to a working run

RUN = [*TEXT, *TINY_RUN, "algorithm=seqkd", "out=run"]
TEACHER = "cache/teachers/*/checkpoints/best.safetensors"


def torn(data: bytes) -> bytes:
    return data[: len(data) // 2]


def bit(data: bytes) -> bytes:
    return flipped(data, len(data) - 20)


ADVICE = {
    "best of a finished run": (
        "run/checkpoints/best.safetensors",
        torn,
        "delete it and repeat the run's command with out=run resume=true",
    ),
    "a bit of it": (
        "run/checkpoints/best.safetensors",
        bit,
        "delete it and repeat the run's command with out=run resume=true",
    ),
    "last of a finished run": (
        "run/checkpoints/last.safetensors",
        torn,
        "delete it, and resume=true trains from the start",
    ),
    "results": (
        "run/results.json",
        torn,
        "delete it and repeat the run's command with out=run resume=true",
    ),
}


@pytest.mark.parametrize(("file", "harm", "advice"), ADVICE.values(), ids=ADVICE)
def test_what_a_damaged_run_is_advised_ends_in_the_same_scores(here, file, harm, advice):
    before, path = scores("run"), Path(file)
    path.write_bytes(harm(path.read_bytes()))
    resume = [*RUN, "resume=true"]
    said = call(show, "run=run", *CPU, code=2) if "best" in file else call(dagger, *resume, code=2)
    assert file in said
    assert advice in said
    path.unlink()
    call(dagger, *resume)
    assert scores("run") == before
    call(show, "run=run", *CPU)


def test_a_damaged_configuration_is_named_and_the_run_can_be_made_again(here):
    before = scores("run")
    Path("run/config.yaml").write_text("env: [}")
    assert "run/config.yaml is damaged" in call(show, "run=run", *CPU, code=2)
    assert "restore a copy; or delete run and start again" in call(
        dagger, *RUN, "resume=true", code=2
    )
    shutil.rmtree("run")
    call(dagger, *RUN)
    assert scores("run") == before


def test_a_damaged_cached_teacher_is_said_and_trained_again(here):
    (best,) = Path().glob(TEACHER)
    whole = load_tensors(best)[0]
    for harm in (torn, bit, lambda data: data.replace(b"textgen-env/3", b"textgen-env/1"), None):
        if harm is None:
            best.unlink()
        else:
            best.write_bytes(harm(best.read_bytes()))
        said = call(dagger, *RUN, "resume=true")
        assert "the cached teacher is damaged and trained again: " in said
        assert str(best) in said
        assert all(
            torch.equal(tensor, whole[name]) for name, tensor in load_tensors(best)[0].items()
        )
    assert "is damaged" not in call(dagger, *RUN, "resume=true")


@pytest.mark.parametrize("harm", [torn, bit, lambda data: b'{"seconds": 1.0}', lambda data: b"[1"])
def test_a_damaged_cost_of_the_cached_teacher_is_said_and_unknown(here, harm):
    (path,) = Path().glob("cache/teachers/*/cost.json")
    path.write_bytes(harm(path.read_bytes()))
    said = call(dagger, *RUN, "resume=true")
    assert (
        f"{path.name} is damaged: its content does not match its checksum; the cost of the teacher's training is unknown"
        in said
    )
    found = json.loads(Path("run/results.json").read_text())
    assert found["teacher"]["cost"] is found["cost"]["teacher_seconds"] is None


def test_a_damaged_teacher_of_a_finished_run_is_named_and_made_again(here):
    (best,) = here.glob(TEACHER)
    best.write_bytes(torn(best.read_bytes()))
    said = call(show, "run=run", *CPU, code=2)
    assert f"delete {best.parents[1]} and repeat the command that made it" in said
    shutil.rmtree(best.parents[1])
    assert "the run's command with resume=true trains it again" in call(
        show, "run=run", *CPU, code=2
    )
    call(dagger, *RUN, "resume=true")
    call(show, "run=run", *CPU)


OUTPUTS = {
    "truncated": (torn, "does not match its checksum"),
    "a letter": (
        lambda data: flipped(data, data.index(b'"texts"') + 14),
        "does not match its checksum",
    ),
    "of an earlier version": (
        lambda data: json.dumps(json.loads(data)["content"]["texts"]).encode(),
        "does not match its checksum",
    ),
}


@pytest.mark.parametrize(("harm", "why"), OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("folder", ["run/outputs", "cache/outputs/*"])
def test_damaged_outputs_are_said_and_generated_again(here, folder, harm, why):
    (path,) = Path().glob(f"{folder}/*.json")
    before, texts = scores("run"), load_json(path)
    path.write_bytes(harm(path.read_bytes()))
    said = call(dagger, *RUN, "resume=true")
    assert f"{path.name} is damaged: its content {why}; generated again" in said
    assert (scores("run"), load_json(path)) == (before, texts)
    assert "generated again" not in call(dagger, *RUN, "resume=true")


def test_outputs_by_other_weights_are_generated_again(here):
    path = Path("run/checkpoints/best.safetensors")
    tensors, header = load_tensors(path)
    save_tensors(path, {name: tensor + 0.5 for name, tensor in tensors.items()}, header)
    assert "is by other weights; generated again" in call(dagger, *RUN, "resume=true")


@pytest.mark.parametrize("harm", [torn, bit, lambda data: b""], ids=["torn", "bit", "empty"])
def test_damaged_demonstrations_are_said_and_generated_again(here, harm):
    (path,) = Path().glob("cache/demonstrations/*/*.safetensors")
    before = load_tensors(path)[0]
    path.write_bytes(harm(path.read_bytes()))
    assert "cached demonstrations are generated again: " in call(dagger, *RUN, "resume=true")
    assert all(torch.equal(tensor, before[name]) for name, tensor in load_tensors(path)[0].items())


@pytest.mark.filterwarnings("error")
def test_a_damaged_vocabulary_is_said_and_trained_again(here):
    corpus = build_task(cli.read("dagger", TEXT)).corpus
    subword_vocabulary(corpus, 300)  # the task may be in memory still, from before this cache
    (path,) = Path().glob("cache/vocabularies/*.json")
    whole = path.read_bytes()
    for harm in (
        torn,
        lambda data: flipped(data, data.index(b"vocab") + 40),
        lambda data: load_json(path).encode(),
    ):
        path.write_bytes(harm(whole))
        with pytest.warns(UserWarning, match=f"damaged, and trained again: .*{path.name}"):
            subword_vocabulary(corpus, 300)
        assert path.read_bytes() == whole


# --- signals


def raising(function, number, times=1):
    """``function``, during whose first ``times`` calls a signal arrives."""
    left = [times]

    def wrapped(*args, **settings):
        left[0] -= 1
        if left[0] >= 0:
            signal.raise_signal(number)
        return function(*args, **settings)

    return wrapped


@pytest.fixture
def hangups(monkeypatch):
    """SIGHUP is not ignored, as it would be where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


PHASES = {
    "the teacher's training": (BC, "loss", "(teacher); saved in "),
    "demonstrations": (demonstrations, "save_tensors", "interrupted"),
    "the training": (find_algorithm("seqkd").func, "loss", "saved in "),
    "a validation": (validation, "mean_nll", "saved in "),
    "the evaluation": (dagger, "generate_outputs", "interrupted"),
    "the speed": (evaluation, "decoding_speed", "interrupted"),
    "the report": (dagger, "write_report", "interrupted"),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_in_every_phase_says_how_to_go_on_and_that_ends_as_if_nothing_had_been(
    made, tmp_path, phase, monkeypatch
):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    owner, function, words = PHASES[phase]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, function, raising(getattr(owner, function), signal.SIGTERM))
        said = call(dagger, *RUN, code=143)
    assert words in said
    again = said.split("resume with: python experiments/dagger.py ")[1].split()
    assert again[-2:] == ["out=run", "resume=true"]
    call(dagger, *again)
    assert scores("run") == scores(str(made / "run"))
    left, right = (
        load_tensors(Path(run, "checkpoints", "last.safetensors"))[0]
        for run in ("run", made / "run")
    )
    assert all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize(
    ("name", "code", "when"),
    [*((*each, "loss") for each in SIGNALS.items()), ("SIGTERM", 143, "report")],
)
def test_every_signal_has_its_exit_code_in_a_comparison_too(
    name, code, when, tmp_path, monkeypatch, hangups
):
    monkeypatch.chdir(tmp_path)
    words = [
        *COPY,
        "train.steps=4",
        "train.validations=1",
        "algorithms=[bc]",
        "students=[transformer]",
        "seeds=[0]",
        "out=c",
    ]
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    owner = BC if when == "loss" else compare
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, when, raising(getattr(owner, when), getattr(signal, name)))
        said = call(compare, *words, code=code)
    assert said.count("resume with") == 1
    assert "resume with: python experiments/compare.py" in " ".join(
        said.replace(str(sys.argv[0]), "").split()
    )
    assert {number: signal.getsignal(number) for number in before} == before
    call(compare, *words)
    assert Path("c/comparison.md").is_file()


def test_a_second_signal_stops_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BC, "loss", raising(raising(BC.loss, signal.SIGTERM), signal.SIGINT))
        said = call(dagger, *COPY, "algorithm=bc", "out=run", code=143)
    assert said.startswith("interrupted\n") or "\ninterrupted\n" in said
    assert not Path("run/checkpoints").exists()


def test_a_group_of_processes_that_is_ended_leaves_none_and_says_how_to_go_on(tmp_path):
    """As a cluster does it: SIGTERM to every process of the job, decoding workers too."""
    words = [
        *COPY,
        "algorithm=dagger",
        "train.steps=4000",
        "train.validations=400",
        "workers=2",
        "env.valid=200",
    ]
    words += ["env.horizon=40", "out=run"]
    script = f"import runpy, sys; sys.path.insert(0, {str(Path(compare.__file__).parent)!r}); from agents.accel import workers; "
    script += "workers.ROWS, workers.WORK = 1, 0; sys.argv = ['dagger.py', *sys.argv[1:]]; "
    script += f"runpy.run_path({str(Path(dagger.__file__))!r}, run_name='__main__')"
    settings = {
        "cwd": tmp_path,
        "env": environment(),
        "stderr": subprocess.PIPE,
        "text": True,
        "start_new_session": True,
    }
    process = subprocess.Popen([sys.executable, "-c", script, *words], **settings)
    deadline, children = time.monotonic() + 120, []
    while (
        process.poll() is None
        and time.monotonic() < deadline
        and not (children and (tmp_path / "run/checkpoints").exists())
    ):
        children = psutil.Process(process.pid).children()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 143, said
    assert "Traceback" not in said
    assert "resume with: " in said
    assert children
    assert not any(child.is_running() for child in children)


def test_workers_end_with_a_parent_that_is_killed_in_the_middle_of_a_decode(tmp_path):
    script = """
import os, time, torch
from agents import accel
from agents.accel import workers
from agents.generation.decoding import greedy
from agents.policies.transformer import Transformer
class Slow(Transformer):
    def step(self, token, state):
        os.write(1, b"decoding\\n")
        time.sleep(60)
workers.ROWS, workers.WORK = 1, 0
accel.install(3)
greedy(Slow(9, layers=1, width=16, heads=2, ffn=16).eval(), torch.full((6, 3), 4), 3)
"""
    settings = {"env": environment(), "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", script], **settings)
    for _ in range(3):
        assert process.stdout.readline() == "decoding\n"
    children = psutil.Process(process.pid).children()
    assert len(children) == 2
    process.kill()
    process.wait()
    assert not psutil.wait_procs(children, timeout=20)[1]


# --- locks


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (dagger, [*COPY, "out=run"]),
        (dagger, [*COPY, "out=run", "resume=true"]),
        (compare, ["env=Copy-v0", "out=run"]),
        (interop, ["env=Copy-v0", "trainer=sb3_ppo", "out=run"]),
    ],
    ids=["a new run", "a resumed one", "a comparison", "interop"],
)
def test_a_folder_in_use_is_refused_by_every_command_that_runs_in_it(
    script, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if "resume=true" in words:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BC, "loss", raising(BC.loss, signal.SIGTERM))
            call(dagger, *COPY, "algorithm=bc", "out=run", code=143)
        words = [*words, "algorithm=bc"]
    holder = "import sys, time; from pathlib import Path; from agents.runs.locks import locked\n"
    holder += "with locked(Path('run')): print('held', flush=True); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True, env=environment()
    )
    try:
        assert process.stdout.readline() == "held\n"
        assert (
            "error: run is in use by another run; wait for its end, or choose another out="
            in call(script, *words, code=2)
        )
    finally:
        process.kill()
        process.wait()
    with locked(Path("run")):  # a dead process holds nothing
        pass


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file"), locked(tmp_path / "file"):
        pass


# --- disks


@pytest.mark.parametrize("limit", [0, 300, 20_000])
def test_a_disk_that_is_full_from_the_start_or_later_is_one_line_and_exit_code_two(
    limit, tmp_path, monkeypatch
):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        said = call(dagger, *RUN, code=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.strip().split("\n")[-1].startswith("error: cannot write ")
    assert said.strip().endswith("File too large")
    call(dagger, *RUN, *(["resume=true"] if Path("run/config.yaml").exists() else []))


@pytest.mark.parametrize("when", ["generate_outputs", "write_report"])
def test_a_run_folder_that_is_deleted_before_its_report_is_one_line(when, tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def deleted(function):
        return lambda *args, **settings: (shutil.rmtree("run"), function(*args, **settings))[1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dagger, when, deleted(getattr(dagger, when)))
        said = call(dagger, *RUN, code=2)
    assert "error: run/config.yaml: cannot be read" in said
    assert not Path("run/results.json").exists()
