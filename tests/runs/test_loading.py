"""Loading a finished run: the same task, student and teacher, or a one-line error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import cli
import dagger
from agents.evaluation.outputs import generate_texts, subset
from agents.generation.decoder import Decoder
from agents.runs.loading import load_run, load_student
from agents.runs.machine import Machine, resolve_machine
from agents.runs.task import build_task
from agents.runs.teacher import find_teacher
from agents.training.checkpoint import load_tensors, save_tensors
from support.commands import TEXT, TINY_RUN
from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score


@pytest.fixture
def copied(runs, tmp_path) -> Path:
    """A copy of the run on text."""
    return Path(shutil.copytree(runs["text"], tmp_path / "run"))


def test_loaded_student_and_teacher_get_the_same_scores(runs):
    results = json.loads((runs["text"] / "results.json").read_text())
    run = load_run(runs["text"], "cpu", "float32")
    test = subset(run.task.splits["test"], 12)
    decoders = {
        "student": Decoder(run.student, run.config.evaluate.beam, "float32", "cpu"),
        "teacher": run.teacher.decode,
    }
    for name, decode in decoders.items():
        texts = generate_texts(decode, run.task, test)
        scores = corpus_score(run.task.metric, texts, test.texts.references)
        assert scores[run.task.metric].value == results["scores"][name][run.task.metric]
    assert run.teacher.summary == results["teacher"]
    assert not run.student.training
    assert not any(weight.requires_grad for weight in run.student.parameters())


def test_exact_teacher_is_loaded(runs):
    run = load_run(runs["bc"], "cpu")
    source = torch.from_numpy(run.task.splits["test"].source[0])[None]
    assert run.teacher.oracle.demonstrate(source, 12).action.tolist() == source.tolist()


def test_run_as_teacher_takes_precedence_over_the_exact_expert(runs):
    config = cli.read("dagger", ["env=Copy-v0", "env.train=200", f"teacher.path={runs['bc']}"])
    teacher = find_teacher(config, load_run(runs["bc"], "cpu").task, Machine("float32", "cpu"))
    assert config.teacher.name == "exact"
    assert teacher.summary["path"] == str(runs["bc"])
    assert teacher.summary["architecture"] == "transformer"


def test_student_loads_without_its_teacher(copied, tmp_path):
    path = copied / "results.json"
    results = json.loads(path.read_text())
    results["teacher"]["path"] = str(tmp_path / "gone")
    path.write_text(json.dumps(results))
    assert not load_student(copied, "cpu")[2].training
    message = f"its teacher {tmp_path / 'gone'} is missing; rerun .* to train it again"
    with pytest.raises(UserError, match=message):
        load_run(copied, "cpu")


def test_metric_is_part_of_the_teachers_cache_key():
    """It selects the best checkpoint."""
    config, paths = cli.read("dagger", [*TEXT, *TINY_RUN]), []
    for tokenizer in ("13a", "char", "13a"):
        config.env.bleu_tokenizer = tokenizer
        teacher = find_teacher(config, build_task(config), resolve_machine(config))
        paths.append(teacher.summary["path"])
    assert paths[0] == paths[2] != paths[1]


# --- folders that have changed


def set_key(key, value):
    """Sets a key of config.yaml."""

    def change(folder):
        config = OmegaConf.load(folder / "config.yaml")
        OmegaConf.update(config, key, value, force_add=True)
        OmegaConf.save(config, folder / "config.yaml")

    return change


def remove_key(file, key):
    def change(folder):
        path = folder / file
        values = OmegaConf.to_container(OmegaConf.load(path))
        del values[key]
        path.write_text(json.dumps(values))

    return change


def write(file, text):
    return lambda folder: (folder / file).write_text(text)


def remove(file):
    return lambda folder: (folder / file).unlink()


def change_format(folder):
    path = folder / "checkpoints" / "best.safetensors"
    path.write_bytes(path.read_bytes().replace(b"textgen-env/3", b"textgen-env/4"))


def add_unknown_setting(folder):
    path = folder / "checkpoints" / "best.safetensors"
    tensors, header = load_tensors(path)
    header["architecture"]["settings"]["experts"] = 8
    save_tensors(path, tensors, header)


CHANGES = [
    (shutil.rmtree, "no run folder at "),
    (remove("results.json"), "is not a finished run: it has no results.json"),
    (remove("config.yaml"), "is not a finished run: it has no config.yaml"),
    (write("results.json", "{"), "results.json is corrupted"),
    (write("config.yaml", "env: [}"), "config.yaml is "),
    (write("config.yaml", "- env"), "config.yaml is "),
    (
        remove_key("config.yaml", "evaluate"),
        "an incompatible version of this project (config.yaml has no evaluate)",
    ),
    (remove_key("results.json", "speed"), "an incompatible version of this project"),
    (remove_key("results.json", "teacher"), "an incompatible version of this project"),
    (set_key("env.name", "IWSLT-v7"), "env IWSLT-v7 no longer exists"),
    (
        set_key("env.name", "this.Task"),
        "its task this.Task is not part of this project",
    ),  # it is not imported
    (set_key("env.beams", 3), "IWSLT-v0 no longer has the option beams"),
    (set_key("env.vocabulary", "x"), "IWSLT-v0 has changed the type of vocabulary"),
    (set_key("env.data_dir", ["a"]), "IWSLT-v0 has changed the type of data_dir"),
    (set_key("env.vocabulary", 200), "was trained with vocabulary"),
    (set_key("env.bundled_pairs", 110), "was trained on a different corpus"),
    (change_format, "(its format is textgen-env/4, expected textgen-env/3)"),
    (add_unknown_setting, "incompatible version of this project: there is no transformer with"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_changed_folder_gives_a_one_line_error(change, message, copied):
    change(copied)
    with pytest.raises(UserError) as error:
        load_run(copied, "cpu")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["init", "teacher.path"])
def test_unfinished_run_is_rejected_as_student_and_as_teacher(key, runs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs["bc"], folder)
    (folder / "results.json").unlink()
    overrides = ["env=Copy-v0", "env.train=20", *TINY_RUN, f"out={tmp_path / 'new'}"]
    message = f"^{folder} is not a finished run: .* with resume=true out={folder}$"
    with pytest.raises(UserError, match=message):
        dagger.main(cli.read("dagger", [*overrides, f"{key}={folder}"]))
