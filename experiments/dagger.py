"""Distills a teacher into a student: ``python experiments/dagger.py env=IWSLT-v0``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from omegaconf import DictConfig

import cli
from agents import reporting
from agents.algorithms import Algorithm
from agents.evaluation.validation import validator
from agents.model import PRETRAINED
from agents.policies.saving import save_files
from agents.runs.config import train_config, training_steps
from agents.runs.demonstrations import Demonstrations, training_demonstrations
from agents.runs.evaluation import evaluate_run, finish_run, generate_outputs
from agents.runs.folder import open_folder
from agents.runs.machine import use_machine
from agents.runs.model_folder import save_model
from agents.runs.moved_teacher import record_hashes
from agents.runs.references import with_references
from agents.runs.run import Run
from agents.runs.student import build_student, is_pretrained
from agents.runs.task import build_task
from agents.runs.teacher import find_teacher
from agents.runs.training import build_algorithm, check_settings, student_checkpoints
from agents.training.state import TrainerState
from agents.training.trainer import train_policy
from textgen_env.data.batching import Batches
from textgen_env.terminal import console

SCRIPT = "experiments/dagger.py"


def main(config: DictConfig) -> None:
    """Task → student → teacher → algorithm → train → evaluate → report."""
    machine = use_machine(config)
    task = build_task(config)
    student = build_student(config, task).to(machine.device)
    # Finds mistakes that would otherwise show after the teacher's training.
    check_settings(config, task, student)
    with open_folder(config, SCRIPT, cli.overrides()) as folder:
        teacher = find_teacher(config, task, machine, student)
        task = with_references(config, task, teacher, machine)
        algorithm = build_algorithm(config, task, student, teacher.oracle)
        run = Run(folder, config, machine, task, teacher, student)
        state, learned = distill(run, algorithm)
        outputs = generate_outputs(run)
        results = evaluate_run(run, outputs, state, learned)
        save_model(run, results, called())
        finish_run(folder, results, outputs)
    console.print(reporting.results_table(results))
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)


def called() -> str:
    """The command that was called; compare.py and reproduce.py call ``main`` too."""
    script = Path(sys.argv[0]).with_suffix(".py").name
    return shlex.join(["python", f"experiments/{script}", *cli.overrides()])


def distill(run: Run, algorithm: Algorithm) -> tuple[TrainerState, Demonstrations]:
    """Train the student; returns the end of the training, and what the student learned from."""
    config, task, machine, oracle = run.config, run.task, run.machine, run.teacher.oracle
    task.vocabulary.save(run.folder / "vocabulary.json")
    save_files(run.student, run.folder / PRETRAINED)
    record_hashes(run.folder, config)
    learned = training_demonstrations(
        algorithm.demonstrations, task, oracle, *machine, config.teacher.length_penalty
    )
    batches = Batches(learned.split, config.train.batch_tokens, config.seed, task.limit)
    state = train_policy(
        algorithm,
        run.student,
        batches,
        validator(run.student, task, config.train.validation_rows, *machine),
        train_config(
            config.train,
            training_steps(config.train, batches, algorithm),
            machine,
            seed=config.seed,
            resume=bool(config.resume),
            validate_first=config.init is not None or is_pretrained(config),
            loggers=tuple(config.logger),
        ),
        student_checkpoints(run, algorithm.demonstrations),
    )
    return state, learned


if __name__ == "__main__":
    cli.run(main, "dagger")
