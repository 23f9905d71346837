"""Whole commands: a run and its resume in processes of their own, the others in this one."""

import json
import signal
import subprocess
from importlib.util import find_spec

import pytest
import torch

import dagger
import speed
import t2_bound
from agents.training.checkpoint import load_tensors, save_tensors
from support.commands import COPY, TEACHER, TINY, command, environment, run, run_in_process


def weights(folder):
    return load_tensors(folder / "checkpoints" / "last.safetensors")[0]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """One uninterrupted run, and where it ran."""
    cwd = tmp_path_factory.mktemp("straight")
    said = run("dagger.py", *COPY, "train.steps=40", "train.validations=8", "out=run", cwd=cwd)
    return cwd / "run", said


def test_a_run_leaves_what_it_promises(straight):
    folder, said = straight
    assert "report: run/report.html" in said
    assert "on cpu, 1 CPU threads" in said
    assert ("accel: none" in said) == (find_spec("agents.accel") is None)
    names = {path.name for path in folder.iterdir()}
    wanted = {
        "config.yaml",
        "results.json",
        "metrics.jsonl",
        "tensorboard",
        "curves.png",
        "samples.txt",
        "report.html",
    }
    assert wanted | {"checkpoints", "vocabulary.json"} <= names
    results = json.loads((folder / "results.json").read_text())
    assert {
        "env",
        "algorithm",
        "seed",
        "preset",
        "corpus",
        "teacher",
        "student",
        "scores",
        "speed",
        "profile",
        "cost",
        "versions",
    } <= results.keys()
    assert results["corpus"]["source"] == "bundled"
    assert results["scores"]["teacher"]["accuracy"] == 100
    cost = results["cost"]
    assert (
        0
        < cost["student_tokens_decoded"]
        < cost["gradient_tokens"]
        == cost["teacher_tokens_scored"]
        <= cost["oracle_queries"]
    )
    assert min(cost["evaluation_seconds"], cost["validation_seconds"]) > 0
    assert cost["demonstrations_seconds"] == cost["demonstrations_tokens"] == 0
    assert cost["teacher_seconds"] is None  # the exact expert has no training
    assert results["speed"]["speedup"] > 0
    assert results["profile"].keys() == {"data", "decode", "teacher", "gradient"}
    assert sum(results["profile"].values()) == pytest.approx(cost["seconds"])
    assert "Where the time went" in (folder / "report.html").read_text()


def test_kill_nine_and_resume_end_in_the_same_bits(straight, tmp_path, monkeypatch):
    words = [*COPY, "train.steps=40", "train.validations=8", "out=run"]
    process = subprocess.Popen(
        command("dagger.py", *words), cwd=tmp_path, stderr=subprocess.PIPE, env=environment()
    )
    checkpoint = tmp_path / "run" / "checkpoints" / "last.safetensors"
    assert any(checkpoint.exists() for _ in process.stderr)  # checked at each line of the log
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before it could be killed"
    killed_at = load_tensors(checkpoint)[1]["progress"]["step"]
    assert 0 < killed_at < 40
    monkeypatch.chdir(tmp_path)
    run_in_process(dagger, *words, "resume=true")
    left, right = weights(straight[0]), weights(tmp_path / "run")
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def folder_of_text(tmp_path_factory):
    """A small folder of parallel text, written here."""
    folder = tmp_path_factory.mktemp("text")
    for split, count in (("train", 40), ("valid", 6), ("test", 8)):
        for language, word in (("de", "wort"), ("en", "word")):
            lines = (f"{word} {split} {number} {word}" for number in range(count))
            (folder / f"{split}.{language}").write_text("\n".join(lines) + "\n")
    return folder


def test_any_folder_of_text_and_a_cached_teacher(folder_of_text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["env=ParallelText-v0", f"env.data_dir={folder_of_text}", *TEACHER, *TINY]
    words += ["train.steps=3", "train.validations=1", "train.batch_tokens=64"]
    words, other = [*words, "env.vocabulary=60"], [*words, "env.vocabulary=50"]
    first = run_in_process(dagger, *words, "out=one")
    assert "teacher: cached" not in first
    assert "local" in first
    second = run_in_process(dagger, *words, "out=two", "algorithm=bc", "seed=1")
    assert "teacher: cached" in second
    results = json.loads((tmp_path / "two" / "results.json").read_text())
    assert results["scores"]["student"].keys() >= {"bleu", "low", "high", "signature"}
    assert results["teacher"]["path"]
    assert (
        results["cost"]["teacher_seconds"] > results["teacher"]["cost"]["seconds"] > 0
    )  # and its validations
    taught = [word for word in words if word not in TEACHER]
    third = run_in_process(dagger, *taught, "out=three", "teacher.path=one")
    assert "teacher: cached" not in third
    sizes = ["batch_sizes=[1,4]", "beams=[1,2]", "threads=[1]", "rounds=1"]
    run_in_process(speed, "run=two", *sizes)
    speeds = json.loads((tmp_path / "two" / "speed.json").read_text())["speeds"]
    assert [(row["beam"], row["batch_size"]) for row in speeds] == [(1, 1), (1, 4), (2, 1), (2, 4)]
    for row in speeds:
        assert (
            row["speedup"]
            == row["student_tokens_per_second"] / row["teacher_tokens_per_second"]
            > 0
        )
    other = [word for word in other if word not in TEACHER]
    foreign = run_in_process(dagger, *other, "out=four", "teacher.path=one", code=2)
    assert "use a method that learns from texts (seqinter, seqkd)" in " ".join(foreign.split())


def test_a_mistake_is_one_line_and_exit_code_two(tmp_path):
    said = run("dagger.py", "env=Copy", cwd=tmp_path, code=2)
    assert said.startswith("error: unknown env 'Copy'; did you mean 'Copy-v0'?")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["env=IWSLT-v0", "env.data_dir=nowhere"], "nowhere"),
        (["env=Copy-v0", "device=cuda:7"], "device=cuda:7 is not available here"),
        (
            ["env=IWSLT-v0", "env.corpus=bundled", "env.bundled_pairs=50", "teacher=exact"],
            "has no exact expert",
        ),
        (
            ["env=Copy-v0", "teacher=exact", "teacher.compile=true"],
            "only a transformer of this project is compiled, not exact",
        ),
        (["env=Copy-v0", "workers=0"], "workers=0: expected a number from 1"),
        (["env=Copy-v0", "resume=true", "out=none"], "no run in none"),
        (["env=Copy-v0", "teacher.path=none"], "no run folder at none"),
        (["env=Copy-v0", "student.width=30", "student.heads=4"], "heads must divide width"),
    ],
)
def test_a_mistake_that_shows_after_composing_is_one_line(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *_, last_line = run_in_process(dagger, *words, code=2).splitlines()
    assert last_line.startswith("error: ")
    assert message in last_line


def test_a_foreign_checkpoint_is_refused(straight, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "foreign"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "best.safetensors").write_bytes(b"not weights")
    said = run_in_process(dagger, *COPY, f"teacher.path={folder}", "out=x", code=2)
    assert "truncated or not a safetensors file" in said
    tensors, header = load_tensors(straight[0] / "checkpoints" / "best.safetensors")
    first = next(iter(tensors))
    save_tensors(
        folder / "checkpoints" / "best.safetensors", tensors | {first: torch.zeros(3, 3)}, header
    )
    said = run_in_process(dagger, *COPY, f"teacher.path={folder}", "out=y", code=2)
    assert "does not match its settings" in said


def test_the_exact_laboratory_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_in_process(t2_bound, "out=lab", "longest=64", "mdps=20", "neural=false")
    assert (tmp_path / "lab" / "t2_bound.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "lab" / "t2_bound.json").read_text())["curves"]
