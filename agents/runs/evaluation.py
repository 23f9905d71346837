"""Evaluates a run: test outputs, scores and speed of teacher and student, and the report."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf

from agents import reporting as report
from agents.evaluation.outputs import (
    cached_outputs,
    evenly_spaced,
    outputs_filename,
    samples,
    sentence_lines,
    subset,
)
from agents.evaluation.speed import decoding_speed
from agents.generation.decoder import Decode, Decoder
from agents.model import fingerprint
from agents.runs.changes import describe_changes, read_changes
from agents.runs.config import read_config
from agents.runs.demonstrations import Demonstrations
from agents.runs.machine import package_versions
from agents.runs.results import read_results
from agents.runs.run import Run
from agents.runs.student import architecture_name
from agents.runs.teacher import outputs_folder, parameter_count
from agents.training.state import TrainerState
from textgen_env.data.files import write_atomically
from textgen_env.data.split import Split
from textgen_env.metrics.scores import report_scores

SAMPLES = 20  # sentences in the report


class Outputs(NamedTuple):
    """Test outputs of "teacher" and "student".

    Attributes:
        test: the test sentences.
        texts: the outputs of each.
        seconds: how long each took to generate; None if the outputs were cached.
    """

    test: Split
    texts: dict[str, list[str]]
    seconds: dict[str, float | None]


def decoders(run: Run) -> dict[str, Decode]:
    """The decoders of teacher, if it decodes, and student for test outputs."""
    settings = run.config.evaluate
    student = Decoder(run.student, settings.beam, *run.machine, settings.length_penalty)
    teacher = {"teacher": run.teacher.decode} if run.teacher.decode else {}
    return {**teacher, "student": student}


def output_files(run: Run) -> dict[str, Path]:
    """The files with the test outputs of teacher and student."""
    rows, settings = len(run.task.splits["test"]), run.config.evaluate
    rows = min(settings.rows or rows, rows)
    name = outputs_filename(rows, settings.beam, settings.length_penalty)
    folders = {"student": run.folder / "outputs"}
    if run.teacher.decode:
        folders["teacher"] = outputs_folder(run.teacher, run.task, run.machine.precision)
    return {who: folder / name for who, folder in folders.items()}


def generate_outputs(run: Run) -> Outputs:
    """Outputs for the test sentences that ``config.evaluate`` selects; cached ones are loaded.

    Those of the student are also saved as JSON lines, with references and scores, for readers.
    """
    result = Outputs(subset(run.task.splits["test"], run.config.evaluate.rows), {}, {})
    files = output_files(run)
    if recorded := run.teacher.recorded:
        rows = evenly_spaced(len(recorded), run.config.evaluate.rows or len(recorded))
        result.texts["teacher"] = [recorded[row] for row in rows]
    # The teacher's folder is already named after its weights.
    weights = {"teacher": "", "student": fingerprint(run.student)}
    for name, decode in decoders(run).items():
        cached, start = files[name].is_file(), time.perf_counter()
        result.texts[name] = cached_outputs(
            decode, run.task, result.test, files[name], weights[name]
        )
        result.seconds[name] = None if cached else time.perf_counter() - start
    lines = sentence_lines(run.task.metric, result.texts["student"], result.test.texts)
    write_atomically(files["student"].with_suffix(".jsonl"), lines.encode())
    return result


def evaluate_run(
    run: Run, outputs: Outputs, state: TrainerState, learned: Demonstrations
) -> dict[str, Any]:
    """Score the outputs, measure decoding speed and collect the cost of the training.

    Args:
        run: its speed is measured on ``evaluate.speed_rows`` test sentences.
        outputs: test outputs of teacher and student.
        state: the end of the student's training.
        learned: the demonstrations that the student learned from.

    Returns:
        The content of ``results.json``.
    """
    config, task, corpus = run.config, run.task, run.task.corpus
    previous, evaluation_seconds = previous_results(run.folder), outputs.seconds["student"]
    if evaluation_seconds is None:
        evaluation_seconds = previous.get("cost", {}).get("evaluation_seconds")
    return {
        "env": task.id,
        "algorithm": config.algorithm.name,
        "seed": config.seed,
        "preset": config.preset,
        "corpus": {
            **{name: getattr(corpus, name) for name in ("name", "source", "origin", "fingerprint")},
            **corpus.sizes,
        },
        "teacher": run.teacher.summary,
        "student": {
            "architecture": architecture_name(config.student.name, run.student),
            "parameters": parameter_count(run.student),
        },
        "training": state.summary(config.train.patience),
        "scores": {
            name: report.score_entry(
                report_scores(task.metric, texts, outputs.test.texts.references),
                corpus.preprocessing,
            )
            for name, texts in outputs.texts.items()
        },
        "speed": _speed(run, subset(outputs.test, config.evaluate.speed_rows)),
        "cost": _cost(run, state, learned, evaluation_seconds),
        "profile": state.profile,
        "versions": package_versions(),
        **({"changes": changes} if (changes := read_changes(run.folder)) else {}),
        **({"exported": previous["exported"]} if previous.get("exported") else {}),
    }


def _speed(run: Run, split: Split) -> dict[str, Any]:
    settings = run.config.evaluate
    rates = decoding_speed(decoders(run), run.task, split, settings.batch_size)
    teacher = rates.get("teacher_tokens_per_second")
    return {
        **rates,
        "speedup": teacher and rates["student_tokens_per_second"] / teacher,
        **{name: settings[name] for name in ("batch_size", "beam", "length_penalty")},
        **run.machine._asdict(),
        "threads": torch.get_num_threads(),
        "workers": run.config.workers or torch.get_num_threads(),
    }


def _cost(
    run: Run, state: TrainerState, learned: Demonstrations, evaluation_seconds: float | None
) -> dict[str, Any]:
    """The cost of the student, and the seconds of the teacher's training, which runs share."""
    cost, teacher = asdict(state.cost), run.teacher.summary["cost"]
    return {
        **cost,
        "oracle_queries": cost["oracle_queries"] + learned.tokens,
        "demonstrations_seconds": learned.seconds,
        "demonstrations_tokens": learned.tokens,
        "evaluation_seconds": evaluation_seconds,
        "teacher_seconds": teacher and teacher["seconds"] + teacher.get("validation_seconds", 0.0),
    }


def previous_results(folder: Path) -> dict[str, Any]:
    """``results.json`` of an earlier evaluation of the run; empty if there is none."""
    path = folder / "results.json"
    return read_results(path) if path.is_file() else {}


def finish_run(folder: Path, results: dict[str, Any], outputs: Outputs) -> None:
    """Write the report, samples and curves, then ``results.json``, which marks a finished run."""
    config = OmegaConf.to_yaml(read_config(folder / "config.yaml")) + describe_changes(folder)
    report.save_report(folder, results, samples(outputs.test, outputs.texts, SAMPLES), config)
    write_atomically(folder / "results.json", json.dumps(results, indent=2).encode())
