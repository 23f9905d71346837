"""Someone else's trainer on our environment and student: ``python experiments/interop.py trainer=sb3_ppo``, or ``--help``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openmp  # noqa: F401  (before torch)

from omegaconf import DictConfig, OmegaConf
from rich.table import Table
from torch import nn

import command_line
import distil
from agents.evaluation.outputs import generate, subset
from agents.generation.decoder import Decoder
from agents.interop import Settings, trainer
from agents.runs.locks import locked
from agents.runs.store import describe_policy, save_vocabulary
from agents.training.checkpoint import save_tensors
from run_folder import begun, made_folder, unused
from textgen_env.data.files import write_atomically
from textgen_env.envs import rewards
from textgen_env.errors import Range, UserError, check_range
from textgen_env.metrics.scores import score
from textgen_env.tasks.task import Task, expert
from textgen_env.terminal import console

STEPS = {"sb3": 60_000, "imitation": 4_000}  # rewards tell less than labels


def main(config: DictConfig) -> None:
    """Score → train → score; the student, the table and results.json."""
    check(config)
    steps = config.steps or STEPS[config.trainer.partition("_")[0]]
    on = distil.machine(config)
    task = distil.read_task(config)
    if config.rows is not None:
        check_range("rows", config.rows, Range(1, len(task.splits["test"])))
    student, header = load_student(config, task)
    distil.use_processor(config, on)
    student.to(on.device)
    settings = Settings(
        steps,
        **{key: config[key] for key in ("lr", "epochs", "batch", "envs", "seed")},
        gamma=discount(config, task),
        reward=config.reward or task.reward,
        device=on.device,
    )
    with empty_folder(config) as folder:
        results = trained(config, task, student, settings, on)
        save_vocabulary(folder, task.vocabulary)
        save_tensors(folder / "checkpoints" / "best.safetensors", student.state_dict(), header)
        write_atomically(folder / "results.json", json.dumps(results, indent=1).encode())
    console.print(table(results))
    console.print(f"{folder / 'results.json'}; its student: init={folder} or teacher.path={folder}", soft_wrap=True)


def trained(config: DictConfig, task: Task, student: nn.Module, settings: Settings, on: distil.Machine) -> dict[str, Any]:
    """Train ``student`` in place; its scores before and after."""
    train = trainer(config.trainer)
    scores, began = {"before": judged(student, task, config.rows, on)}, time.perf_counter()
    steps = train(student, task, expert(task), settings)
    seconds = time.perf_counter() - began
    scores["after"] = judged(student, task, config.rows, on)
    results = {"trainer": config.trainer, "env": task.id, "scores": scores, "steps": steps, "seconds": seconds}
    return results | {"settings": OmegaConf.to_container(config), "versions": distil.versions()}


def check(config: DictConfig) -> None:
    """UserError for what the trainers would answer with a traceback."""
    trainer(config.trainer)
    if config.trainer.startswith("imitation") and (given := [key for key in ("gamma", "reward") if config[key] is not None]):
        raise UserError(f"{given[0]}={config[given[0]]}: trainer={config.trainer} learns from the expert, not from rewards")
    if config.steps is not None and config.steps < config.batch:
        raise UserError(f"steps={config.steps} batch={config.batch}: fewer steps than one gradient step needs")
    if config.gamma is not None and not 0 <= config.gamma <= 1:
        raise UserError(f"gamma={config.gamma}: a number from 0 to 1 expected")


def discount(config: DictConfig, task: Task) -> float:
    """The discount: by default 1 for a reward that is paid at the end, and 0 for one that judges every step by itself."""
    late = rewards.make(config.reward or task.reward, task, expert(task)).terminal
    if late and config.gamma == 0:
        raise UserError("gamma=0: this reward is paid at the end, and no step before would ever hear of it; leave gamma out")
    return config.gamma if config.gamma is not None else float(late)


@contextmanager
def empty_folder(config: DictConfig) -> Iterator[Path]:
    """The folder ``out``, which must be empty, or a free one in runs/, locked; made before the work rather than after it."""
    name = f"{config.env.name}-{config.trainer}-{config.student.name}-seed{config.seed}"
    folder = Path(config.out) if config.out else unused(name)
    made_folder(str(folder))
    with locked(folder):
        if begun(folder):
            raise UserError(f"{folder} is not empty: choose another out=")
        yield folder


def load_student(config: DictConfig, task: Task) -> tuple[nn.Module, dict[str, Any]]:
    """The student of the folder ``init``, or a fresh one; and what its checkpoint says of it."""
    if config.init is not None:
        policy, header = distil.load_start(config, task)
        return policy, {key: header[key] for key in ("architecture", "vocabulary")}
    return distil.fresh_student(config, task), describe_policy(*distil.named(config.student), task.vocabulary)


def judged(student: Any, task: Task, rows: int | None, on: distil.Machine) -> dict[str, float]:
    """The task's figures of what the student writes greedily for the test split."""
    test = subset(task.splits["test"], rows)
    texts = generate(Decoder(student, 1, on.precision, on.device), task, test)
    return {name: each.value for name, each in score(task.metric, texts, test.texts.references, resamples=0).items()}


def table(results: dict[str, Any]) -> Table:
    """The results for a person."""
    shown = Table(results["trainer"], "before", "after", title=f"{results['env']}, test split", box=None)
    before, after = results["scores"].values()
    for name in before:
        shown.add_row(name, f"{before[name]:.1f}", f"{after[name]:.1f}")
    shown.add_row("steps", "", f"{results['steps']:,}")
    shown.add_row("seconds", "", f"{results['seconds']:.1f}")
    return shown


if __name__ == "__main__":
    command_line.run(main, "interop")
