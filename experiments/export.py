"""Exports the student of a run: ``python experiments/export.py run=RUN quantization=int8``.

``format=merged`` saves a Hugging Face student with its adapter merged, as transformers opens it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import openmp  # noqa: F401  (before torch)

import torch
from omegaconf import DictConfig
from rich.table import Table

import cli
from agents.evaluation.outputs import generate_texts, score_texts, subset
from agents.evaluation.speed import decoding_speed
from agents.generation.decoder import Decode, Decoder
from agents.generation.demonstrations import oracle_decoder
from agents.model import PRETRAINED, Model
from agents.policies.adapters import has_adapter
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.saving import save_merged
from agents.runs.evaluation import finish_run, generate_outputs, output_files
from agents.runs.folder import finished_run
from agents.runs.machine import package_versions, use_machine
from agents.runs.results import read_results
from agents.runs.run import Run
from textgen_env.data.files import write_atomically
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.terminal import console


def main(config: DictConfig) -> None:
    """Export the student of a run."""
    if config.run is None:
        raise UserError("give run=RUN, a finished run folder")
    (export_merged if config.format == "merged" else export_ctranslate2)(config)


def export_merged(config: DictConfig) -> None:
    """Save the transformers model, with the adapter merged into its weights."""
    if config.overrides:
        raise UserError(
            f"{config.overrides[0]} does not apply: format=merged needs the student alone; "
            "leave it out"
        )
    policy = Model.load(finished_run(config.run)).policy
    if not has_adapter(policy):
        whole = isinstance(policy, HuggingFacePolicy)
        where = f"; {Path(config.run) / PRETRAINED} is the whole model" if whole else ""
        raise UserError(f"format=merged: the student of {config.run} has no adapter{where}")
    folder = Path(config.out or f"{config.run}/export-merged")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "config.json").is_file():
        raise UserError(f"out={folder} is not empty and is not a model; choose another folder")
    save_merged(policy, folder)
    console.print(f"merged model: {folder}", soft_wrap=True)


def export_ctranslate2(config: DictConfig) -> None:
    """Export the student; compare it with the run's student and teacher in export.json."""
    try:
        from agents.interop import ctranslate2 as export
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed: "
            "python -m pip install -c constraints.txt -e '.[export]'"
        ) from error
    export.check_quantization(config.quantization)
    use_machine(config)
    run = cli.open_run(config)
    folder = Path(config.out or f"{config.run}/export-{config.quantization}")
    export.export_model(run.student, run.task, folder, config.quantization)
    student = run.student, run.task.vocabulary
    decoders = export.load_decoders(folder, *student, workers=torch.get_num_threads())
    results = compare(config, run, decoders)
    results["versions"] = package_versions() | {"ctranslate2": export.ctranslate2.__version__}
    write_atomically(folder / "export.json", json.dumps(results, indent=1).encode())
    show(results, folder)
    add_to_report(run, results)


def compare(config: DictConfig, run: Run, exported: Any) -> dict[str, Any]:
    """Compare scores and speeds of the exported model with the run's student and teacher."""
    task, threads = run.task, torch.get_num_threads()
    test = subset(task.splits["test"], config.rows)
    own: dict[str, Decode] = {"student": Decoder(run.student, 1, *run.machine)}
    if run.teacher.policy is not None:
        own["teacher"] = oracle_decoder(run.teacher.oracle, 1, *run.machine)
    speeds = []
    for size in config.batch_sizes:
        # workers share all sentences, in batches of this size
        given = 1 if size == 1 else len(test)
        rates = decoding_speed(own, task, test, size)
        rates |= decoding_speed({"exported": exported(size)}, task, test, given)
        speeds.append({**rates, "batch_size": size})
    settings = {"quantization": config.quantization, "rows": len(test), "threads": threads}
    return {
        **agreement(exported(), Decoder(run.student, 1, "float32", run.machine.device), task, test),
        "speeds": speeds,
        "settings": settings | run.machine._asdict(),
    }


def agreement(exported: Decode, student: Decode, task: Task, test: Split) -> dict[str, Any]:
    """Scores of both against the references, and the number of equal outputs."""
    decoders = {"exported": exported, "student": student}
    texts = {who: generate_texts(decode, task, test) for who, decode in decoders.items()}
    return {
        "scores": {who: score_texts(task.metric, text, test) for who, text in texts.items()},
        "equal": sum(a == b for a, b in zip(*texts.values(), strict=True)),
    }


def add_to_report(run: Run, exported: dict[str, Any]) -> None:
    """Add the exported model's speed to the run's results.json and report.html."""
    results = read_results(run.folder / "results.json")
    settings = {name: exported["settings"][name] for name in ("device", "precision", "threads")}
    rows = [row | settings for row in exported["speeds"]]
    results.setdefault("exported", {})[exported["settings"]["quantization"]] = rows
    # the precision with which the outputs of the run were generated
    machine = run.machine._replace(precision=results["speed"]["precision"])
    run = replace(run, machine=machine)
    try:
        if gone := [path for path in output_files(run).values() if not path.is_file()]:
            raise UserError(f"{gone[0]} is gone")
        finish_run(run.folder, results, generate_outputs(run))
    except (OSError, UserError) as error:
        console.print(f"exported, but not in the run's report: {error}", soft_wrap=True)
    else:
        console.print(f"report: {run.folder / 'report.html'}", soft_wrap=True)


def show(results: dict[str, Any], folder: Path) -> None:
    """Print the results."""
    settings, scores, speeds = results["settings"], results["scores"], results["speeds"]
    for name, value in scores["exported"].items():
        student = scores["student"][name]
        console.print(f"{name}: {value:.2f} exported, {student:.2f} student in float32")
    console.print(f"{results['equal']} of {settings['rows']} outputs are equal")
    others = [who for who in ("teacher", "student") if f"{who}_tokens_per_second" in speeds[0]]
    rates = [f"{who} tok/s" for who in ("exported", *others)]
    table = Table("batch", *rates, *(f"× {who}" for who in others))
    table.title = (
        f"greedy, {settings['threads']} threads; teacher and student {settings['precision']}"
    )
    for row in speeds:
        exported, *own = (row[f"{who}_tokens_per_second"] for who in ("exported", *others))
        cells = [f"{rate:,.0f}" for rate in (exported, *own)]
        table.add_row(str(row["batch_size"]), *cells, *(f"{exported / rate:.1f}" for rate in own))
    console.print(table)
    console.print(
        f"{folder / 'README.md'} explains its use; {folder / 'export.json'}", soft_wrap=True
    )


if __name__ == "__main__":
    cli.run(main, "export")
