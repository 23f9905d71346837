"""Distil a teacher into a student by imitation: ``python experiments/dagger.py env=IWSLT-v0 [key=value …]``, or ``--help``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import openmp  # noqa: F401  (before torch)

import torch
from omegaconf import DictConfig
from torch import nn

import command_line
import distil
import judged
import teaching
from agents import reporting as report
from agents.evaluation.outputs import subset
from agents.evaluation.speed import speed
from agents.training.trainer import Interrupted
from run_folder import how_to_go_on, interrupted, locked_folder
from textgen_env.metrics.scores import scores
from textgen_env.tasks.task import Task
from textgen_env.terminal import console


def main(config: DictConfig) -> None:
    """Corpus → teacher → student → scores → report."""
    on = distil.machine(config)
    distil.use_processor(config, on)
    task = distil.load_task(config)
    student = distil.build_student(config, task)
    distil.check(config, task, student)
    with locked_folder(config) as folder:
        try:
            distilled(config, task, student, folder, on)
        except (Interrupted, KeyboardInterrupt) as stop:
            again = how_to_go_on("experiments/dagger.py", sys.argv[1:], folder)
            raise interrupted(stop, again) from stop


def distilled(config: DictConfig, task: Task, student: nn.Module, folder: Path, on: distil.Machine) -> None:
    """Train, score, report; what is there already is not done again."""
    teacher = teaching.find_teacher(config, task, on)
    progress, made = distil.train_student(config, task, student, teacher.oracle, folder, on)
    test, texts, seconds = judged.written(config, task, teacher, student, folder, on)
    writers = judged.writers(config, teacher, student, on)
    rates = speed(writers, task, subset(test, config.evaluate.speed_rows), config.evaluate.batch_size)
    before = judged.before(folder)
    results: dict[str, Any] = {
        "env": task.id,
        "algorithm": config.algorithm.name,
        "seed": config.seed,
        "preset": config.preset,
        "corpus": {
            "name": task.corpus.name,
            "source": task.corpus.source,
            "origin": task.corpus.origin,
            "fingerprint": task.corpus.fingerprint,
            **task.corpus.sizes,
        },
        "teacher": teacher.about,
        "student": {"architecture": config.student.name, "parameters": distil.parameters(student)},
        "scores": {
            who: report.scores(scores(task.metric, written, test.texts.references), task.corpus.preprocessing)
            for who, written in texts.items()
        },
        "speed": {
            **rates,
            "speedup": rates["student_tokens_per_second"] / rates["teacher_tokens_per_second"],
            "batch_size": config.evaluate.batch_size,
            "beam": config.evaluate.beam,
            "length_penalty": config.evaluate.length_penalty,
            "device": on.device,
            "precision": on.precision,
            "threads": torch.get_num_threads(),
            "workers": config.workers or torch.get_num_threads(),
        },
        "cost": {**asdict(progress.cost), **made, **judged.costs(teacher, seconds["student"], before)},
        "profile": progress.profile,
        "versions": distil.versions(),
        **({"exported": before["exported"]} if before.get("exported") else {}),
    }
    judged.publish(folder, results, test, texts, config)
    console.print(report.table(results))
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    command_line.run(main, "dagger")
