"""Trains our student with another library: ``python experiments/interop.py trainer=sb3_ppo``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.table import Table

import cli
from agents.evaluation.outputs import generate_texts, score_texts, subset
from agents.generation.decoder import Decoder
from agents.generation.rollout import rollout
from agents.interop import TrainerSettings, load_trainer
from agents.model import Model, load_policy
from agents.runs.config import chosen
from agents.runs.folder import finished_run, has_content, make_folder, unused_folder
from agents.runs.locks import locked
from agents.runs.machine import Machine, package_versions, use_machine
from agents.runs.student import build_student
from agents.runs.task import build_task
from textgen_env.data.files import write_atomically
from textgen_env.envs import rewards
from textgen_env.errors import Range, UserError, check_range
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import Task, expert
from textgen_env.terminal import console
from textgen_env.types import Oracle

PPO = {"steps": 60_000, "lr": 0.003, "epochs": 4, "batch": 256, "envs": 256, "entropy": 0.01}
IMITATION = {"steps": 4_000, "lr": 0.001, "epochs": 8, "batch": 128, "envs": 64, "entropy": 0.0}
DEFAULTS = {  # a reward has less information than a label, so that it takes more steps
    "sb3_ppo": PPO,
    "sb3_maskable_ppo": PPO,
    # with a higher rate and a smaller entropy bonus it did not learn: docs/interop.md
    "sb3_a2c": {**PPO, "steps": 100_000, "lr": 0.0015, "epochs": 1, "entropy": 0.05},
    "imitation_bc": IMITATION,
    "imitation_dagger": {**IMITATION, "steps": 2_000},
}


def main(config: DictConfig) -> None:
    """Score the student, train it, score it again; save it and write results.json."""
    check(config)
    machine = use_machine(config)
    task = build_task(config)
    if config.rows is not None:
        check_range("rows", config.rows, Range(1, len(task.splits["test"])))
    student = build_student(config, task).to(machine.device)
    oracle = find_expert(config, task, machine)
    settings = trainer_settings(config, task, oracle, machine)
    with empty_folder(config) as folder:
        before = evaluate(student, task, config.rows, machine)
        began = time.perf_counter()
        steps = load_trainer(config.trainer)(student, task, oracle, settings)
        results = {
            "trainer": config.trainer,
            "env": task.id,
            "steps": steps,
            "seconds": time.perf_counter() - began,
            "scores": {"before": before, "after": evaluate(student, task, config.rows, machine)},
            "settings": OmegaConf.to_container(config),
            "versions": package_versions(),
        }
        Model.from_task(student, *chosen(config.student), task).save(folder)
        write_atomically(folder / "results.json", json.dumps(results, indent=1).encode())
    console.print(results_table(results))
    console.print(
        f"{folder / 'results.json'}; its student: init={folder} or teacher.path={folder}",
        soft_wrap=True,
    )


def check(config: DictConfig) -> None:
    """Refuse settings with which a trainer would fail."""
    if config.trainer.startswith("imitation") and (
        given := [key for key in ("gamma", "reward", "entropy") if config[key] is not None]
    ):
        raise UserError(
            f"{given[0]}={config[given[0]]}: trainer={config.trainer} learns from the expert, "
            "not from rewards"
        )
    for key, value in DEFAULTS[config.trainer].items():
        config[key] = value if config[key] is None else config[key]
    if config.steps < config.batch:
        raise UserError(
            f"steps={config.steps} batch={config.batch}: one gradient step needs more steps"
        )
    if str(config.teacher.path).startswith("hf:"):
        raise UserError(f"teacher.path={config.teacher.path}: here it is a run folder")
    load_trainer(config.trainer)  # last, as it imports a library: refuses a missing one


def find_expert(config: DictConfig, task: Task, machine: Machine) -> Oracle:
    """The student of the run ``teacher.path``, by default the task's own expert."""
    if config.teacher.path is None:
        return expert(task)
    policy, _ = load_policy(finished_run(config.teacher.path), task.vocabulary)
    policy.to(machine.device).requires_grad_(False)
    return PolicyOracle(policy, rollout, task.vocabulary, task.vocabulary)


def trainer_settings(
    config: DictConfig, task: Task, oracle: Oracle, machine: Machine
) -> TrainerSettings:
    """The trainer's settings; gamma is by default 1 for a reward at the end, else 0."""
    at_end = rewards.make(config.reward or task.reward, task, oracle).terminal
    if at_end and config.gamma == 0:
        raise UserError(
            "gamma=0: this reward is paid at the end, so earlier steps would have none; "
            "leave gamma out"
        )
    return TrainerSettings(
        **{key: config[key] for key in (*DEFAULTS[config.trainer], "seed")},
        gamma=config.gamma if config.gamma is not None else float(at_end),
        reward=config.reward or task.reward,
        device=machine.device,
    )


@contextmanager
def empty_folder(config: DictConfig) -> Iterator[Path]:
    """Create and lock the folder ``out``, which must be empty, or an unused one in runs/."""
    name = f"{config.env.name}-{config.trainer}-{config.student.name}-seed{config.seed}"
    folder = make_folder(config.out or str(unused_folder(name)))
    with locked(folder):
        if has_content(folder):
            raise UserError(f"{folder} is not empty: choose another out=")
        yield folder


def evaluate(student: Any, task: Task, rows: int | None, machine: Machine) -> dict[str, float]:
    """Score the student's greedy outputs for the test split."""
    test = subset(task.splits["test"], rows)
    texts = generate_texts(Decoder(student, 1, *machine), task, test)
    return score_texts(task.metric, texts, test)


def results_table(results: dict[str, Any]) -> Table:
    """The results as a table for the terminal."""
    table = Table(
        results["trainer"], "before", "after", title=f"{results['env']}, test split", box=None
    )
    before, after = results["scores"].values()
    for name in before:
        table.add_row(name, f"{before[name]:.1f}", f"{after[name]:.1f}")
    table.add_row("steps", "", f"{results['steps']:,}")
    table.add_row("seconds", "", f"{results['seconds']:.1f}")
    return table


if __name__ == "__main__":
    cli.run(main, "interop")
