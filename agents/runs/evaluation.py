"""The evaluation of a run: test outputs of teacher and student, kept in files, their scores and speed, and the report."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf

from agents import reporting as report
from agents.evaluation.outputs import outputs, outputs_name, samples, subset
from agents.evaluation.speed import speed
from agents.generation.decoder import Decode, Decoder
from agents.model import fingerprint
from agents.runs.config import read_config
from agents.runs.demonstrations import Demonstrations
from agents.runs.machine import versions
from agents.runs.results import read_results
from agents.runs.run import Run
from agents.runs.teacher import outputs_folder, parameters
from agents.training.progress import Progress
from textgen_env.data.files import write_atomically
from textgen_env.data.split import Split
from textgen_env.metrics.scores import scores

SAMPLES = 20  # sentences in the report


class Outputs(NamedTuple):
    """Test sentences, the texts of "teacher" and "student" for them, and the seconds of generating; None where cached."""

    test: Split
    texts: dict[str, list[str]]
    seconds: dict[str, float | None]


def decoders(run: Run) -> dict[str, Decode]:
    """How teacher and student generate their test outputs."""
    settings = run.config.evaluate
    student = Decoder(run.student, settings.beam, *run.machine, settings.length_penalty)
    return {"teacher": run.teacher.decode, "student": student}


def output_files(run: Run) -> dict[str, Path]:
    """Where the test outputs of teacher and student are kept."""
    rows, settings = len(run.task.splits["test"]), run.config.evaluate
    name = outputs_name(min(settings.rows or rows, rows), settings.beam, settings.length_penalty)
    teacher = outputs_folder(run.teacher, run.task, run.machine.precision)
    return {"teacher": teacher / name, "student": run.folder / "outputs" / name}


def generate_outputs(run: Run) -> Outputs:
    """The outputs of teacher and student for the test sentences that ``config.evaluate`` chooses; cached ones are loaded."""
    result = Outputs(subset(run.task.splits["test"], run.config.evaluate.rows), {}, {})
    files = output_files(run)
    model = {
        "teacher": "",
        "student": fingerprint(run.student),
    }  # the teacher's folder is named after its weights
    for who, decode in decoders(run).items():
        cached, began = files[who].is_file(), time.perf_counter()
        result.texts[who] = outputs(decode, run.task, result.test, files[who], model[who])
        result.seconds[who] = None if cached else time.perf_counter() - began
    return result


def evaluate(
    run: Run, outputs: Outputs, progress: Progress, learned: Demonstrations
) -> dict[str, Any]:
    """``results.json``: the scores of the outputs, the speed of both, and the cost of the training.

    Args:
        run: measured on ``evaluate.speed_rows`` test sentences.
        outputs: of both for the test sentences.
        progress: the end of the student's training.
        learned: what that training learned from.
    """
    config, task, corpus = run.config, run.task, run.task.corpus
    before, evaluation = results_before(run.folder), outputs.seconds["student"]
    if evaluation is None:
        evaluation = before.get("cost", {}).get("evaluation_seconds")
    return {
        "env": task.id,
        "algorithm": config.algorithm.name,
        "seed": config.seed,
        "preset": config.preset,
        "corpus": {
            **{name: getattr(corpus, name) for name in ("name", "source", "origin", "fingerprint")},
            **corpus.sizes,
        },
        "teacher": run.teacher.about,
        "student": {"architecture": config.student.name, "parameters": parameters(run.student)},
        "scores": {
            who: report.score_entry(
                scores(task.metric, texts, outputs.test.texts.references), corpus.preprocessing
            )
            for who, texts in outputs.texts.items()
        },
        "speed": _speed(run, subset(outputs.test, config.evaluate.speed_rows)),
        "cost": _cost(run, progress, learned, evaluation),
        "profile": progress.profile,
        "versions": versions(),
        **({"exported": before["exported"]} if before.get("exported") else {}),
    }


def _speed(run: Run, split: Split) -> dict[str, Any]:
    settings = run.config.evaluate
    rates = speed(decoders(run), run.task, split, settings.batch_size)
    return {
        **rates,
        "speedup": rates["student_tokens_per_second"] / rates["teacher_tokens_per_second"],
        **{name: settings[name] for name in ("batch_size", "beam", "length_penalty")},
        **run.machine._asdict(),
        "threads": torch.get_num_threads(),
        "workers": run.config.workers or torch.get_num_threads(),
    }


def _cost(
    run: Run, progress: Progress, learned: Demonstrations, evaluation: float | None
) -> dict[str, Any]:
    """The cost of the student's training; the seconds of its evaluation, and of the teacher's training, which runs share."""
    cost, teacher = asdict(progress.cost), run.teacher.about["cost"]
    return {
        **cost,
        "oracle_queries": cost["oracle_queries"] + learned.tokens,
        "demonstrations_seconds": learned.seconds,
        "demonstrations_tokens": learned.tokens,
        "evaluation_seconds": evaluation,
        "teacher_seconds": teacher and teacher["seconds"] + teacher.get("validation_seconds", 0.0),
    }


def results_before(folder: Path) -> dict[str, Any]:
    """``results.json`` of a run that was finished before; empty where there is none."""
    path = folder / "results.json"
    return read_results(path) if path.is_file() else {}


def publish(folder: Path, results: dict[str, Any], outputs: Outputs) -> None:
    """Write the page, the samples and the curves; last, as it marks a finished run, ``results.json``."""
    config = OmegaConf.to_yaml(read_config(folder / "config.yaml"))
    report.save_report(folder, results, samples(outputs.test, outputs.texts, SAMPLES), config)
    write_atomically(folder / "results.json", json.dumps(results, indent=2).encode())
