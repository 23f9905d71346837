"""What teacher and student of a run write for the test split, kept in files, and the page that is made of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from torch import nn

import teaching
from agents import reporting as report
from agents.evaluation.outputs import outputs, outputs_name, samples, subset
from agents.generation.decoder import Decode, Decoder
from agents.runs.store import fingerprint
from distil import Machine
from run_folder import read_results
from teaching import Teacher
from textgen_env.data.files import write_atomically
from textgen_env.data.split import Split
from textgen_env.tasks.task import Task

SHOWN = 20  # sentences in the report


class Written(NamedTuple):
    """Test sentences, both sides' texts for them, and the seconds of generating them; None where they were in a file."""

    test: Split
    texts: dict[str, list[str]]
    seconds: dict[str, float | None]


def writers(config: DictConfig, teacher: Teacher, student: nn.Module, on: Machine) -> dict[str, Decode]:
    """How both write when they are judged."""
    evaluate = config.evaluate
    write = Decoder(student, evaluate.beam, on.precision, on.device, evaluate.length_penalty)
    return {"teacher": teacher.write, "student": write}


def files(config: DictConfig, task: Task, teacher: Teacher, folder: Path, on: Machine) -> dict[str, Path]:
    """Where what both write is kept."""
    rows = len(task.splits["test"])
    evaluate = config.evaluate
    name = outputs_name(min(evaluate.rows or rows, rows), evaluate.beam, evaluate.length_penalty)
    return {"teacher": teaching.outputs_folder(teacher, task, on.precision) / name, "student": folder / "outputs" / name}


def written(config: DictConfig, task: Task, teacher: Teacher, student: nn.Module, folder: Path, on: Machine) -> Written:
    """The test sentences that ``config.evaluate`` asks for, and what both write; what is in a file is not written again."""
    test = subset(task.splits["test"], config.evaluate.rows)
    kept, both = files(config, task, teacher, folder, on), writers(config, teacher, student, on)
    result = Written(test, {}, {})
    whose = {"teacher": "", "student": fingerprint(student)}  # the teacher's folder is named after its weights
    for who, write in both.items():
        fresh, began = not kept[who].is_file(), time.perf_counter()
        result.texts[who] = outputs(write, task, test, kept[who], whose[who])
        result.seconds[who] = time.perf_counter() - began if fresh else None
    return result


def before(folder: Path) -> dict[str, Any]:
    """``results.json`` of a run that was finished before; empty where there is none."""
    path = folder / "results.json"
    return read_results(path) if path.is_file() else {}


def costs(teacher: Teacher, seconds: float | None, before: dict[str, Any]) -> dict[str, float | None]:
    """What a run costs beside the student's training, in seconds; None where it is not known.

    Args:
        teacher: Its training, validations included, is ``teacher_seconds``; other runs share it.
        seconds: Of generating the student's test outputs; None: as noted ``before``.
        before: The run's earlier ``results.json``, or empty.
    """
    training = teacher.about["cost"]
    noted = before.get("cost", {}).get("evaluation_seconds")
    return {
        "evaluation_seconds": noted if seconds is None else seconds,
        "teacher_seconds": training and training["seconds"] + training.get("validation_seconds", 0.0),
    }


def publish(folder: Path, results: dict[str, Any], test: Split, texts: dict[str, list[str]], config: DictConfig) -> None:
    """The page, the samples and the curves; last, as it marks a finished run, results.json."""
    report.write(folder, results, samples(test, texts, SHOWN), OmegaConf.to_yaml(config))
    write_atomically(folder / "results.json", json.dumps(results, indent=2).encode())
