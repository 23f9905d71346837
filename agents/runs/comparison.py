"""Reports a comparison of finished runs: test outputs at every beam width, table and plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from agents.evaluation.outputs import cached_outputs, evenly_spaced, outputs_filename, subset
from agents.generation.decoder import Decoder
from agents.generation.demonstrations import oracle_decoder
from agents.model import fingerprint
from agents.reporting import read_metrics, versus
from agents.reporting.comparison import (
    COSTS,
    TEACHER,
    Curve,
    Entry,
    System,
    comparison_rows,
    gains_by_length,
)
from agents.reporting.facts import display_name
from agents.runs.loading import load_student
from agents.runs.machine import resolve_machine
from agents.runs.results import read_results
from agents.runs.teacher import find_teacher, outputs_folder
from textgen_env.data.files import write_atomically
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.terminal import console, escape_controls, safe_json

RunKey = tuple[str, str, int]  # algorithm, student, seed
INTERVALS = {  # by whether there are several seeds
    False: "Intervals: 95 % over test sentences. They do not cover other seeds.",
    True: "Intervals: 95 % of the mean, covering seeds (Student's t) and test sentences; "
    "the teacher's cover test sentences.",
}
TESTS = {
    False: "p: two-sided paired bootstrap over test sentences.",
    True: "p: two-sided paired t-test over the seeds' scores on these test sentences.",
}
AXES = {
    "student_tokens_decoded": "tokens decoded by the student in training",
    "teacher_tokens_scored": "tokens scored by the teacher in training",
    "gradient_tokens": "target tokens of the updates",
    "seconds": "seconds of the updates and of generating demonstrations\n"
    "(without validation, evaluation and the teacher's training)",
}


class Comparison(NamedTuple):
    """Finished runs, compared.

    Attributes:
        task: their task.
        test: its test sentences.
        entries: the shared teacher, unless it has no outputs, then the runs.
        rows: one per system, as from ``comparison_rows``.
    """

    task: Task
    test: Split
    entries: list[Entry]
    rows: list[dict[str, Any]]


def compare_finished(
    runs: dict[RunKey, DictConfig], beams: list[int], length_penalty: float
) -> Comparison:
    """Load the test outputs of finished runs, generate those that are missing, and compare them.

    Args:
        runs: configurations of the runs, of one task and teacher.
        beams: beam widths; gains, tests and plots use the first.
        length_penalty: of beam search.
    """
    entries = []
    for (algorithm, student, seed), run in runs.items():
        out = Path(run.out)
        config, task, policy = load_student(out, run.device, run.precision)
        machine, results = resolve_machine(config), read_results(out / "results.json")
        test = subset(task.splits["test"], config.evaluate.rows)
        decoders = {width: Decoder(policy, width, *machine, length_penalty) for width in beams}
        files = {
            width: out / "outputs" / outputs_filename(len(test), width, length_penalty)
            for width in beams
        }
        texts = {
            width: cached_outputs(decoders[width], task, test, files[width], fingerprint(policy))
            for width in beams
        }
        entries.append(Entry(algorithm, student, seed, results, texts))
    shared_teacher(entries)
    if teacher := teacher_entry(run, task, test, beams):
        entries.insert(0, teacher)
    rows = comparison_rows(entries, task.metric, test.texts.references)
    return Comparison(task, test, entries, rows)


def write_comparison(
    folder: Path, runs: dict[RunKey, DictConfig], beams: list[int], length_penalty: float
) -> None:
    """Write comparison.md, .csv, .json and the plots of finished runs of one task and teacher.

    Args:
        folder: where the files go.
        runs: configurations of the runs; outputs that are missing are generated.
        beams: beam widths; gains, tests and plots use the first.
        length_penalty: of beam search.
    """
    task, test, entries, table = compare_finished(runs, beams, length_penalty)
    results = entries[-1].results
    curves: dict[System, list[Any]] = {}
    for (algorithm, student, _), run in runs.items():
        cost = read_results(Path(run.out) / "results.json")["cost"]
        curves.setdefault((student, algorithm), []).append((read_metrics(run.out), cost))
    text = escape_controls(
        versus.markdown(
            table, f"{task.id}: {len(runs)} runs", comparison_notes(runs, results, len(test))
        ),
        "\n",
    )
    teacher = results["teacher"] | results["scores"].get("teacher", {})
    content = {"rows": table, "teacher": teacher, "corpus": results["corpus"]}
    contents = {
        "scores.png": versus.scores_png(table),
        **_plots(entries, curves, task.metric, test),
        "comparison.md": text.encode(),
        "comparison.csv": versus.csv_table(table).encode(),
        "comparison.json": safe_json(json.dumps(content, indent=1, ensure_ascii=False)).encode(),
    }
    for name, data in contents.items():
        write_atomically(folder / name, data)
    console.print(text, markup=False, soft_wrap=True)
    images = ", ".join(name for name in contents if name.endswith(".png"))
    console.print(f"{folder / 'comparison.md'}, .csv, .json; plots: {images}")


def _plots(entries: list[Entry], curves: Any, metric: str, test: Split) -> dict[str, bytes]:
    """Plot the gain by reference length, and the validation score by each cost."""
    algorithms = list(
        dict.fromkeys(entry.algorithm for entry in entries if entry.algorithm != TEACHER)
    )
    score, beam = display_name(metric.partition(":")[0]), next(iter(entries[0].outputs))
    images = {}
    if gains := gains_by_length(entries, metric, test.texts.references):
        labels = "reference length, words", f"gain over mle, {score}, beam {beam}"
        images["gain_by_length.png"] = versus.lines_png(gains, *labels, algorithms, zero=True)
    for cost in COSTS:
        labels = AXES[cost], f"validation {score}, greedy"
        images[f"score_by_{cost}.png"] = versus.lines_png(
            _by_cost(curves, cost), *labels, algorithms
        )
    return images


def shared_teacher(entries: list[Entry]) -> None:
    """Refuse runs of different teachers."""
    teachers = [entry.results["teacher"] for entry in entries]
    paths = {
        teacher.get("base") or teacher["path"]: entry
        for teacher, entry in zip(teachers, entries, strict=True)
    }
    if len(paths) > 1:
        (one, first), (other, second), *_ = paths.items()
        raise UserError(
            f"{first.algorithm} seed {first.seed} had the teacher {one}, "
            f"{second.algorithm} seed {second.seed} {other}: "
            "runs of one comparison share their teacher; choose another out="
        )


def teacher_entry(config: DictConfig, task: Task, test: Split, beams: list[int]) -> Entry | None:
    """The row of the teacher: its test outputs at every beam width and its training cost.

    Recorded outputs are the same at every width; None if there are none for the test split.
    """
    machine, penalty = resolve_machine(config), config.evaluate.length_penalty
    teacher = find_teacher(config, task, machine)
    folder, texts = outputs_folder(teacher, task, machine.precision), {}
    if recorded := teacher.recorded:
        rows = evenly_spaced(len(recorded), len(test))
        texts = {width: [recorded[row] for row in rows] for width in beams}
    elif teacher.decode is None:
        return None
    for width in () if recorded else beams:
        decode = oracle_decoder(teacher.oracle, width, *machine, penalty)
        texts[width] = cached_outputs(
            decode, task, test, folder / outputs_filename(len(test), width, penalty)
        )
    size, cost = {"parameters": teacher.summary["parameters"]}, teacher.summary["cost"] or {}
    results = {"student": size, "speed": {"speedup": None}, "cost": cost}
    results["training"] = teacher.summary.get("training")
    return Entry(
        TEACHER, teacher.summary["architecture"], config.teacher.get("seed", 0), results, texts
    )


def comparison_notes(
    runs: dict[RunKey, DictConfig], results: dict[str, Any], sentences: int
) -> list[str]:
    """The notes below the table."""
    corpus, several = results["corpus"], len({key[2] for key in runs}) > 1
    scores = next(iter(results["scores"].values()))
    lines = [
        f"Corpus: {corpus['name']} ({corpus['source']}), {sentences:,} test sentences.",
        f"Metric: {scores['signature']}; "
        f"preprocessing: {scores.get('preprocessing', 'not recorded')}.",
        "All runs share one teacher. The cost of its training is in its row only.",
        INTERVALS[several],
        TESTS[several],
        "Wall-clock time covers the updates. Other costs: generating the teacher's demonstrations "
        "(once for all runs that use them), validations, and generating the test outputs at the "
        "first beam width.",
    ]
    if started := sorted({key[0] for key, config in runs.items() if config.init is not None}):
        lines.append(
            f"{', '.join(started)}: from a trained student; updates and costs are without the "
            "training of that student."
        )
    return lines


def _by_cost(
    curves: dict[System, list[tuple[list[dict[str, Any]], dict[str, Any]]]], cost: str
) -> dict[System, list[Curve]]:
    """``(cost, first validation score)`` of each run, seed by seed."""
    points: dict[System, list[Curve]] = {}
    for key, seeds in curves.items():
        for metrics, costs in seeds:
            before = (costs.get("demonstrations_seconds") or 0.0) if cost == "seconds" else 0.0
            scored = [
                row
                for row in metrics
                if {"valid_loss", cost} <= row.keys() and row["phase"] == "student"
            ]
            curve = [
                (before + row[cost], next(v for k, v in row.items() if k.startswith("valid_")))
                for row in scored
            ]
            points.setdefault(key, []).append(curve)
    return points
