"""A run's student for use elsewhere: ``python experiments/export.py run=RUN quantization=int8`` (--help lists every key)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openmp  # noqa: F401  (before torch)

import torch
from omegaconf import DictConfig
from rich.table import Table

import command_line
import distil
import judged
from agents.evaluation.outputs import generate, subset
from agents.evaluation.speed import speed
from agents.generation.decoder import Decode, Decoder
from distil import Machine
from reopen import Run, reopen
from run_folder import read_config, read_results
from textgen_env.data.files import write_atomically
from textgen_env.data.split import Split
from textgen_env.errors import UserError, unknown
from textgen_env.metrics.scores import score
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import Task
from textgen_env.terminal import console

FORMATS = ("ctranslate2",)


def main(config: DictConfig) -> None:
    """The student → a model folder, and in its export.json how it compares with the run's own student and teacher."""
    try:
        from agents.interop import ctranslate2 as export
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: python -m pip install -c constraints.txt -e '.[export]'") from error
    if config.run is None:
        raise UserError("give run=RUN, a finished run folder")
    if config.format not in FORMATS:
        raise unknown("format", config.format, FORMATS)
    export.check_quantization(config.quantization)
    run = reopen(config.run, config.device, config.precision)
    folder = Path(config.out or f"{config.run}/export-{config.quantization}")
    task, on, test = run.task, distil.machine(run.config), subset(run.task.splits["test"], config.rows)
    distil.use_processor(config, on)
    threads = torch.get_num_threads()
    export.export(run.student, task, folder, config.quantization)
    policies = {"student": run.student}
    if isinstance(run.teacher.oracle, PolicyOracle):
        policies["teacher"] = run.teacher.oracle.policy
    model = export.load(folder, workers=threads)
    results = {
        **agreement(export.writer(model, task.vocabulary), Decoder(run.student, 1, "float32", on.device), task, test),
        "speeds": [
            speed({who: Decoder(policy, 1, on.precision, on.device) for who, policy in policies.items()}, task, test, size)
            | speed({"exported": export.writer(model, task.vocabulary, size)}, task, test, 1 if size == 1 else len(test))
            | {"batch_size": size}
            for size in config.batch_sizes
        ],
        "settings": {"quantization": config.quantization, "rows": len(test), "threads": threads, **on._asdict()},
        "versions": distil.versions() | {"ctranslate2": export.ctranslate2.__version__},
    }
    write_atomically(folder / "export.json", json.dumps(results, indent=1).encode())
    show(results, folder)
    add_to_report(run, Path(config.run), results)


def add_to_report(run: Run, folder: Path, results: dict[str, Any]) -> None:
    """The exported model's speed stands beside the teacher's in the run's results.json and report.html."""
    found = read_results(folder / "results.json")
    settings = {name: results["settings"][name] for name in ("device", "precision", "threads")}
    found.setdefault("exported", {})[results["settings"]["quantization"]] = [row | settings for row in results["speeds"]]
    on = Machine(run.config.device, found["speed"]["precision"])  # as the run's own outputs were written
    for path in judged.files(run.config, run.task, run.teacher, folder, on).values():
        if not path.is_file():
            console.print(f"exported, but not in the run's report: {path} is gone", soft_wrap=True)
            return
    try:
        test, texts, _ = judged.written(run.config, run.task, run.teacher, run.student, folder, on)
        judged.publish(folder, found, test, texts, read_config(folder / "config.yaml"))
    except (OSError, UserError) as error:
        console.print(f"exported, but not in the run's report: {error}", soft_wrap=True)
    else:
        console.print(f"report: {folder / 'report.html'}", soft_wrap=True)


def agreement(exported: Decode, own: Decode, task: Task, test: Split) -> dict[str, Any]:
    """Scores of both against the references, and how many sentences come out the same."""
    texts = {"exported": generate(exported, task, test), "student": generate(own, task, test)}
    scores = {
        who: {name: each.value for name, each in score(task.metric, text, test.texts.references, resamples=0).items()}
        for who, text in texts.items()
    }
    return {"scores": scores, "equal": sum(a == b for a, b in zip(*texts.values(), strict=True))}


def show(results: dict[str, Any], folder: Path) -> None:
    """The results for a person."""
    settings = results["settings"]
    for name, value in results["scores"]["exported"].items():
        console.print(f"{name}: {value:.2f} exported, {results['scores']['student'][name]:.2f} student in float32")
    console.print(f"{results['equal']} of {settings['rows']} test sentences come out the same")
    others = [who for who in ("teacher", "student") if f"{who}_tokens_per_second" in results["speeds"][0]]
    table = Table("batch", "exported tok/s", *(f"{who} tok/s" for who in others), *(f"× {who}" for who in others))
    table.title = f"greedy, {settings['threads']} threads; teacher and student {settings['precision']}"
    for row in results["speeds"]:
        mine, *theirs = (row[f"{who}_tokens_per_second"] for who in ("exported", *others))
        rates, ratios = [f"{each:,.0f}" for each in (mine, *theirs)], [f"{mine / each:.1f}" for each in theirs]
        table.add_row(str(row["batch_size"]), *rates, *ratios)
    console.print(table)
    console.print(f"{folder / 'README.md'} says how to use it; {folder / 'export.json'}", soft_wrap=True)


if __name__ == "__main__":
    command_line.run(main, "export")
