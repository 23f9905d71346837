"""Distil a teacher into a student by imitation: ``python experiments/dagger.py env=IWSLT-v0 [key=value …]``, or ``--help``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

import command_line
import distil
from agents import report
from agents.evaluation import outputs, samples, speed, subset, writer
from agents.fast import tune_allocator
from agents.journal import console
from agents.trainer import Interrupted
from run_folder import how_to_go_on, open_folder
from textgen_env.files import write_atomically
from textgen_env.metrics import score


def main(config: DictConfig) -> None:
    """Corpus → teacher → student → scores → report."""
    tune_allocator()
    on = distil.machine(config)
    world = distil.load_world(config)
    folder = open_folder(config)
    try:
        student = distil.build_student(config, world)
        teacher = distil.find_teacher(config, world, on)
        progress = distil.train_student(config, world, student, teacher.oracle, folder, on)
    except Interrupted as stop:
        raise Interrupted(f"{stop}\ngo on with: {how_to_go_on('experiments/dagger.py', sys.argv[1:], folder)}") from stop

    test = subset(world.splits["test"], config.evaluate.rows or len(world.splits["test"]))
    writers = {"teacher": teacher.write, "student": writer(student, config.evaluate.beam, on.precision, on.device)}
    kept = {"teacher": distil.teacher_outputs(teacher, world, on.precision), "student": folder / "outputs"}
    name = f"test{len(test)}-beam{config.evaluate.beam}.json"
    texts = {who: outputs(write, world, test, kept[who] / name) for who, write in writers.items()}
    rates = speed(writers, world, subset(test, config.evaluate.speed_rows), config.evaluate.batch_size)
    results: dict[str, Any] = {
        "env": world.id,
        "algorithm": config.algorithm.name,
        "seed": config.seed,
        "preset": config.preset,
        "corpus": {
            "name": world.corpus.name,
            "source": world.corpus.source,
            "origin": world.corpus.origin,
            "fingerprint": world.corpus.fingerprint,
            **world.corpus.sizes,
        },
        "teacher": teacher.about,
        "student": {"architecture": config.student.name, "parameters": distil.parameters(student)},
        "scores": {who: report.scores(score(world.metric, written, test.texts.references)) for who, written in texts.items()},
        "speed": {
            **rates,
            "speedup": rates["student_tokens_per_second"] / rates["teacher_tokens_per_second"],
            "batch_size": config.evaluate.batch_size,
            "beam": config.evaluate.beam,
            "device": on.device,
            "precision": on.precision,
            "threads": torch.get_num_threads(),
        },
        "cost": asdict(progress.cost),
        "profile": progress.profile,
        "versions": distil.versions(),
    }
    write_atomically(folder / "results.json", json.dumps(results, indent=2).encode())
    report.write(folder, results, samples(test, texts, 20), OmegaConf.to_yaml(config))
    console.print(report.table(results))
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    command_line.run(main, "dagger")
