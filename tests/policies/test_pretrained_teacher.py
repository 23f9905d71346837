"""Distillation from a pretrained teacher."""

from __future__ import annotations

import pytest

import cli
import dagger
from agents.evaluation.outputs import generate_texts
from agents.generation.decoder import Decoder
from agents.runs.machine import resolve_machine
from agents.runs.run import Run
from agents.runs.student import build_student
from agents.runs.task import build_task
from agents.runs.teacher import find_teacher
from agents.runs.training import build_algorithm
from support.pretrained_models import copier
from textgen_env.metrics.scores import corpus_score

COPY = [
    *("env=Copy-v0", "env.symbols=5", "env.max_length=5", "env.horizon=8"),
    *("env.train=200", "env.valid=20", "env.test=20"),
]


@pytest.mark.slow
def test_a_student_learns_from_the_labels_of_a_pretrained_teacher(task, tmp_path):
    """On its own prefixes only (β = 0) and without references."""
    folder = copier(tmp_path / "teacher", task.splits["train"].texts.sources, steps=300)
    overrides = [
        *(*COPY, f"teacher.path=hf:{folder}", "precision=float32", "train.steps=300"),
        *("algorithm=imitkd", "algorithm.beta=constant", "algorithm.rate=0"),
        *("train.batch_tokens=256", "train.validations=1"),
    ]
    config = cli.read("dagger", overrides)
    machine, copy_task = resolve_machine(config), build_task(config)
    assert copy_task.vocabulary.fingerprint != task.vocabulary.fingerprint
    assert sorted(copy_task.vocabulary.tokens) == sorted(task.vocabulary.tokens)
    teacher = find_teacher(config, copy_task, machine)
    assert teacher.summary["architecture"] == "marian"
    student = build_student(config, copy_task)
    algorithm = build_algorithm(config, copy_task, student, teacher.oracle)
    dagger.distill(Run(tmp_path, config, machine, copy_task, teacher, student), algorithm)
    test = copy_task.splits["test"]
    for decode in (teacher.decode, Decoder(student, 1, *machine)):
        texts = generate_texts(decode, copy_task, test)
        assert corpus_score("accuracy", texts, test.texts.references)["accuracy"].value >= 90
    continued = build_student(cli.read("dagger", [*overrides, f"init={tmp_path}"]), copy_task)
    assert continued.vocabulary_size == len(copy_task.vocabulary)
