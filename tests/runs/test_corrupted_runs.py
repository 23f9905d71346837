"""Corrupted files of a run and its cache: the message says what to do, and that works."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import cli
import dagger
import show
from agents.runs.task import build_task
from agents.training.checkpoint import load_tensors, save_tensors
from support.cases import others_slow
from support.commands import CPU, SEQKD, TEXT, run_in_process
from support.files import flip_bit, truncate
from support.training import equal_tensors
from textgen_env.data.files import load_json
from textgen_env.data.vocabulary import subword_vocabulary

RESUME = [*SEQKD, "resume=true"]
SHOW = ["run=run", *CPU]
TEACHER = "cache/teachers/*/checkpoints/best.safetensors"


def flip_late_bit(data: bytes) -> bytes:
    return flip_bit(data, len(data) - 20)


REPEAT = "delete it and rerun the command with out=run resume=true"
ADVICE = {
    "best truncated": ("run/checkpoints/best.safetensors", truncate, REPEAT),
    "best with a flipped bit": ("run/checkpoints/best.safetensors", flip_late_bit, REPEAT),
    "last truncated": (
        "run/checkpoints/last.safetensors",
        truncate,
        "delete it, then resume=true trains from the start",
    ),
    "results truncated": ("run/results.json", truncate, REPEAT),
}


@pytest.mark.parametrize(
    ("file", "corrupt", "advice"),
    others_slow(ADVICE, "best with a flipped bit", "results truncated"),
)
def test_following_the_advice_restores_the_scores(workspace, scores, file, corrupt, advice):
    before, path = scores("run"), Path(file)
    path.write_bytes(corrupt(path.read_bytes()))
    failing = (show, *SHOW) if "best" in file else (dagger, *RESUME)
    output = run_in_process(*failing, code=2)
    assert file in output
    assert advice in output
    path.unlink()
    run_in_process(dagger, *RESUME)
    assert scores("run") == before
    run_in_process(show, *SHOW)


def test_run_with_a_corrupted_config_can_be_repeated(workspace, scores):
    before = scores("run")
    Path("run/config.yaml").write_text("env: [}")
    assert "run/config.yaml" in run_in_process(show, *SHOW, code=2)
    output = run_in_process(dagger, *RESUME, code=2)
    assert "delete run and start again" in output
    shutil.rmtree("run")
    run_in_process(dagger, *SEQKD)
    assert scores("run") == before


# --- the cache


def outdate(data: bytes) -> bytes:
    return data.replace(b"textgen-env/3", b"textgen-env/1")


BITS = {"truncated": truncate, "bit": flip_late_bit}


@pytest.mark.parametrize(
    "corrupt", others_slow({**BITS, "outdated": outdate, "missing": None}, "bit")
)
def test_corrupted_cached_teacher_is_trained_again(workspace, corrupt):
    (best,) = Path().glob(TEACHER)
    before, _ = load_tensors(best)
    if corrupt is None:
        best.unlink()
    else:
        best.write_bytes(corrupt(best.read_bytes()))
    output = run_in_process(dagger, *RESUME)
    assert "the cached teacher is corrupted and trained again: " in output
    assert str(best) in output
    assert equal_tensors(load_tensors(best)[0], before)


def test_unfinished_cached_teacher_of_an_earlier_version_is_trained_again(workspace):
    (best,) = Path().glob(TEACHER)
    last, finished = best.with_name("last.safetensors"), best.parent.parent / "finished"
    tensors, header = load_tensors(last)
    header["progress"].pop("improved_step")
    save_tensors(last, tensors, header)
    assert "trained again" not in run_in_process(dagger, *RESUME)
    finished.unlink()
    output = run_in_process(dagger, *RESUME)
    assert "trained again: " in output
    assert "progress has no improved_step" in output


@pytest.mark.parametrize(
    "corrupt",
    others_slow(
        {**BITS, "no checksum": lambda data: b'{"seconds": 1.0}', "no JSON": lambda _: b"[1"}
    ),
)
def test_corrupted_cost_of_the_cached_teacher_is_reported_as_unknown(workspace, corrupt):
    (path,) = Path().glob("cache/teachers/*/cost.json")
    path.write_bytes(corrupt(path.read_bytes()))
    output = run_in_process(dagger, *RESUME)
    assert path.name in output
    assert "the cost of the teacher is unknown" in output
    results = json.loads(Path("run/results.json").read_text())
    assert results["teacher"]["cost"] is results["cost"]["teacher_seconds"] is None


def test_corrupted_or_missing_teacher_of_a_finished_run_is_named_and_trained_again(workspace):
    (best,) = workspace.glob(TEACHER)
    best.write_bytes(truncate(best.read_bytes()))
    output = run_in_process(show, *SHOW, code=2)
    assert f"delete {best.parents[1]} and rerun the command" in output
    shutil.rmtree(best.parents[1])
    output = run_in_process(show, *SHOW, code=2)
    assert "rerun the command with resume=true to train it again" in output
    run_in_process(dagger, *RESUME)
    run_in_process(show, *SHOW)


def without_checksum(data: bytes) -> bytes:
    return json.dumps(json.loads(data)["content"]["texts"]).encode()


@pytest.mark.parametrize(
    "corrupt",
    others_slow(
        {
            "no checksum": without_checksum,
            "truncated": truncate,
            "flipped bit": lambda data: flip_bit(data, data.index(b'"texts"') + 14),
        }
    ),
)
@pytest.mark.parametrize("folder", ["run/outputs", "cache/outputs/*"])
def test_corrupted_outputs_are_generated_again(workspace, scores, folder, corrupt):
    (path,) = Path().glob(f"{folder}/*.json")
    before, texts = scores("run"), load_json(path)
    path.write_bytes(corrupt(path.read_bytes()))
    output = run_in_process(dagger, *RESUME)
    assert path.name in output
    assert "generated again" in output
    assert (scores("run"), load_json(path)) == (before, texts)


def test_outputs_of_other_weights_are_generated_again(workspace):
    path = Path("run/checkpoints/best.safetensors")
    tensors, header = load_tensors(path)
    save_tensors(path, {name: tensor + 0.5 for name, tensor in tensors.items()}, header)
    output = run_in_process(dagger, *RESUME)
    assert "was generated with other weights; generated again" in output


def test_intact_outputs_and_teacher_are_reused(workspace):
    output = run_in_process(dagger, *RESUME)
    assert "teacher: cached in" in output
    assert "again" not in output


@pytest.mark.parametrize("corrupt", others_slow({**BITS, "empty": lambda data: b""}, "bit"))
def test_corrupted_demonstrations_are_generated_again(workspace, corrupt):
    (path,) = Path().glob("cache/demonstrations/*/*.safetensors")
    before, _ = load_tensors(path)
    path.write_bytes(corrupt(path.read_bytes()))
    assert "cached demonstrations are generated again: " in run_in_process(dagger, *RESUME)
    assert equal_tensors(load_tensors(path)[0], before)


@pytest.mark.filterwarnings("error")
def test_corrupted_vocabulary_is_trained_again(empty_workspace):
    corpus = build_task(cli.read("dagger", TEXT)).corpus
    subword_vocabulary(corpus, 300)  # the task may come from memory, without this cache
    (path,) = Path().glob("cache/vocabularies/*.json")
    intact = path.read_bytes()
    for corrupt in (
        truncate,
        lambda data: flip_bit(data, data.index(b"vocab") + 40),
        lambda data: load_json(path).encode(),
    ):
        path.write_bytes(corrupt(intact))
        with pytest.warns(UserWarning, match=f"trained again: .*{path.name}"):
            subword_vocabulary(corpus, 300)
        assert path.read_bytes() == intact
