"""Scores a trained model on any test set: ``score.py run=RUN env.data_dir=FOLDER``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openmp  # noqa: F401  (before torch)

import torch
from omegaconf import DictConfig

import cli
from agents.evaluation.outputs import generate_texts, sentence_lines, subset
from agents.generation.decoder import Decode, Decoder
from agents.reporting.facts import score_entry
from agents.reporting.text import scores_table
from agents.runs.folder import make_folder
from agents.runs.loading import load_teacher
from agents.runs.machine import Machine, package_versions, use_machine
from agents.runs.scoring import Scored, load_scored
from textgen_env.data.files import write_atomically
from textgen_env.errors import UserError
from textgen_env.metrics.scores import Score, report_scores, sentence_score
from textgen_env.terminal import console, safe_json

SCORES = "scores.json"


def main(config: DictConfig) -> None:
    """Model and test set → outputs → scores."""
    check(config)
    machine = use_machine(config)
    env = cli.given_env(config.run, config.overrides)
    place = cli.given_teacher(config.overrides)
    if place and not config.teacher:
        raise UserError("teacher.path does not apply: only teacher=true uses it; leave it out")
    settings = config.split, config.source_prefix, config.separator
    scored = load_scored(config.run, env, *settings, place)
    task, metric = scored.task, config.metric or scored.task.metric
    console.print("\n".join(task.describe()), soft_wrap=True)
    folder = config.out and new_folder(config.out)
    split, settings = subset(task.splits[config.split], config.rows), search(config, scored)
    scores: dict[str, dict[str, Score]] = {}
    for name, decode in decoders(config, scored, machine, settings).items():
        texts = generate_texts(decode, task, split)
        scores[name] = report_scores(metric, texts, split.texts.references)
        if folder:
            lines = sentence_lines(metric, texts, split.texts)
            write_atomically(folder / f"{name}.jsonl", lines.encode())
    summary = {
        "run": config.run,
        "env": task.id,
        "split": config.split,
        "rows": len(split),
        "metric": metric,
        "scores": {
            name: score_entry(values, task.corpus.preprocessing)
            # an entry has the interval of its first metric only
            | {"intervals": {key: [value.low, value.high] for key, value in values.items()}}
            for name, values in scores.items()
        },
        "settings": {**settings, **machine._asdict(), "threads": torch.get_num_threads()},
        "versions": package_versions(),
    }
    report(summary, scores, folder)


def check(config: DictConfig) -> None:
    """Find mistakes that would otherwise show after the decoding."""
    if config.run is None:
        raise UserError("give run=RUN, a finished run folder, or run=hf:MODEL")
    if config.metric:
        try:
            sentence_score(config.metric, "a", ["a"])
        except RuntimeError as error:  # sacreBLEU lacks the package of a tokenizer
            raise UserError(f"metric={config.metric}: {str(error).splitlines()[0]}") from error


def new_folder(out: str) -> Path:
    """Create the folder ``out``; UserError if it holds the scores of another command."""
    folder = make_folder(out)
    if (folder / SCORES).exists():
        raise UserError(f"out={out} already holds {SCORES}: name another folder, or delete it")
    return folder


def search(config: DictConfig, scored: Scored) -> dict[str, Any]:
    """Beam width and length penalty: those given, else those of the run, else greedy."""
    names, own = ("beam", "length_penalty"), scored.config and scored.config.evaluate
    defaults = own or {"beam": 1, "length_penalty": 1.0}
    return {name: defaults[name] if config[name] is None else config[name] for name in names}


def decoders(
    config: DictConfig, scored: Scored, machine: Machine, settings: dict[str, Any]
) -> dict[str, Decode]:
    """The decoders of the model and, with ``teacher=true`` and if it is found, of its teacher."""
    policy, beam, penalty = scored.model.policy, settings["beam"], settings["length_penalty"]
    name = "model" if scored.config is None else "student"
    decode: dict[str, Decode] = {name: Decoder(policy.to(machine.device), beam, *machine, penalty)}
    if not config.teacher:
        return decode
    if scored.config is None:
        raise UserError(f"teacher=true: run={config.run} is not the folder of a run, so has none")
    scored.config.evaluate.update(settings)
    try:
        teacher = load_teacher(config.run, scored.config, scored.task, machine, policy)
    except UserError as error:
        console.print(f"teacher: not scored: {error}", soft_wrap=True)
        return decode
    if teacher.decode is None:
        console.print("teacher: not scored: only its recorded outputs are known", soft_wrap=True)
        return decode
    return {"teacher": teacher.decode, **decode}


def report(
    summary: dict[str, Any], scores: dict[str, dict[str, Score]], folder: Path | None
) -> None:
    """Print the table; print the summary to standard output, and save it in ``folder``."""
    settings = summary["settings"]
    notes = [
        ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items()),
        f"preprocessing: {next(iter(summary['scores'].values()))['preprocessing']}",
    ]
    title = f"{summary['run']}: {summary['rows']:,} {summary['split']} sentences, {summary['env']}"
    console.print(scores_table(scores, title, notes))
    print(safe_json(json.dumps(summary, ensure_ascii=False)), flush=True)
    if folder:
        write_atomically(folder / SCORES, json.dumps(summary, indent=2).encode())
        names = ", ".join(f"{name}.jsonl" for name in scores)
        console.print(f"{folder / SCORES}, {names}", soft_wrap=True)


if __name__ == "__main__":
    cli.run(main, "score")
