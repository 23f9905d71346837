"""The rows of a results table: scores, significance and decoding speed of finished runs."""

from __future__ import annotations

import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig

from agents.evaluation.outputs import generate_texts
from agents.evaluation.speed import decoding_speed
from agents.generation.decoder import Decode, Decoder
from agents.generation.demonstrations import oracle_decoder
from agents.policies.transformer import TransformerPolicy
from agents.reporting import read_metrics
from agents.reporting.comparison import TEACHER, Entry, comparison_rows
from agents.reporting.tables import beam_name
from agents.runs.comparison import Comparison, RunKey
from agents.runs.folder import is_finished
from agents.runs.loading import load_student
from agents.runs.machine import Machine, package_version
from agents.runs.teacher import find_teacher
from textgen_env.data.split import Split
from textgen_env.tasks.task import Task

BATCHES = (1, 64)  # sentences per batch in the speed measurement
INT8 = "int8"  # the form of an exported student
Name = tuple[str, str, str]  # student, algorithm, form: "" or INT8, or the teacher's beam


class Exported(NamedTuple):
    """The students exported to CTranslate2 in int8.

    Attributes:
        rows: their scores, one per system, as from ``comparison_rows``.
        missing: why students are missing, a sentence each.
    """

    rows: list[dict[str, Any]]
    missing: list[str]


def system_decoders(
    compared: Comparison, runs: dict[RunKey, DictConfig], machine: Machine, folder: Path
) -> tuple[dict[Name, Decode], Exported]:
    """The decoders to time: the teacher, the first run of each system, and its export.

    Args:
        compared: the runs.
        runs: their configurations.
        machine: where students and teacher run.
        folder: where the exports go.
    """
    config, task = next(iter(runs.values())), compared.task
    teacher = find_teacher(config, task, machine)
    decoders: dict[Name, Decode] = {}
    if teacher.policy is not None:
        for width in reversed(compared.entries[0].outputs):
            penalty = config.evaluate.length_penalty
            decoders[TEACHER, TEACHER, beam_name(width)] = oracle_decoder(
                teacher.oracle, width, *machine, penalty
            )
    entries, missing = [], set()
    for (algorithm, student, seed), run in runs.items():
        policy = load_student(run.out, run.device, run.precision)[2]
        decoders.setdefault((student, algorithm, ""), Decoder(policy, 1, *machine))
        if find_spec("ctranslate2") is None:
            missing.add("CTranslate2 is not installed, so no export was measured (extra `export`).")
        elif not isinstance(policy, TransformerPolicy):
            missing.add(f"CTranslate2 does not support the {student} student.")
        else:
            decode = export_int8(policy, task, folder / INT8 / Path(run.out).name)
            texts = {1: generate_texts(decode, task, compared.test)}
            size = {"student": {"parameters": None}, "speed": {"speedup": None}, "cost": {}}
            entries.append(Entry(algorithm, student, seed, size, texts))
            decoders.setdefault((student, algorithm, INT8), decode)
    references = compared.test.texts.references
    rows = comparison_rows(entries, task.metric, references) if entries else []
    return decoders, Exported(rows, sorted(missing))


def export_int8(policy: TransformerPolicy, task: Task, folder: Path) -> Decode:
    """Export to CTranslate2; its workers share a batch of the size that they are given."""
    from agents.interop import ctranslate2 as export  # needs the extra

    export.export_model(policy, task, folder, INT8)
    workers = torch.get_num_threads()
    model = export.load_translator(folder, workers=workers)
    share = max(1, max(BATCHES) // workers)
    return export.translator_decoder(model, task.vocabulary, batch_size=share)


def measure_speeds(
    decoders: dict[Name, Decode], task: Task, test: Split, rounds: int
) -> dict[int, dict[Name, tuple[float, float, float]]]:
    """Tokens per second by batch size: median, slowest and fastest of interleaved rounds."""
    named = {"|".join(name): decode for name, decode in decoders.items()}
    speeds = {}
    for size in BATCHES:
        rates = decoding_speed(named, task, test, size, rounds)
        keys = {name: f"{'|'.join(name)}_tokens_per_second" for name in decoders}
        speeds[size] = {
            name: (rates[key], rates[f"{key}_low"], rates[f"{key}_high"])
            for name, key in keys.items()
        }
    return speeds


def table_rows(
    compared: Comparison,
    runs: dict[RunKey, DictConfig],
    failed: Mapping[str, str],
    exported: Exported,
    speeds: dict[int, dict[Name, tuple[float, float, float]]],
) -> list[dict[str, Any]]:
    """The rows of the page.

    Args:
        compared: the finished runs.
        runs: all runs.
        failed: ``{name of the run: reason}``.
        exported: the exported students.
        speeds: as from ``measure_speeds``.

    Returns:
        The rows of ``comparison_rows``, the exported students and the systems without a finished
        run, each with its ``form``, its ``speeds``, ``{batch: {form: rates}}``, its ``notes``, and
        for students their mean ``validation`` score.
    """
    systems: dict[tuple[str, str], list[DictConfig]] = {}
    for (algorithm, student, _), run in runs.items():
        systems.setdefault((student, algorithm), []).append(run)
    rows = []
    scored = {(row["student"], row["algorithm"]): row for row in compared.rows}
    first = compared.rows[0]
    for key, row in {(TEACHER, TEACHER): first, **{k: scored.get(k) for k in systems}}.items():
        base = row or {"algorithm": key[1], "student": key[0], "seeds": 0}
        base = {**base, "form": "", "speeds": _speeds_of(key, speeds), "validation": None}
        base["notes"] = _notes(base, _reasons(systems.get(key, []), failed))
        if key in systems:
            finished = [run.out for run in systems[key] if is_finished(run.out)]
            scores = [best_validation(read_metrics(out), "student")[1] for out in finished]
            if scores:
                base["validation"] = statistics.fmean(scores)
        rows.append(base)
    for row in exported.rows:
        key = row["student"], row["algorithm"]
        rows.append({**row, "form": INT8, "speeds": _speeds_of(key, speeds, INT8), "notes": []})
    return rows


def _speeds_of(
    key: tuple[str, str], speeds: dict[int, dict[Name, Any]], form: str | None = None
) -> dict[int, dict[str, Any]]:
    """``{batch: {form: rates}}`` of one system: those of ``form``, or all but its export."""
    return {
        size: {
            name[2]: rates
            for name, rates in by_name.items()
            if name[:2] == key and (name[2] == form if form else name[2] != INT8)
        }
        for size, by_name in speeds.items()
    }


def best_validation(metrics: Iterable[Mapping[str, Any]], phase: str) -> tuple[int, float]:
    """Step and score of the best validation, the first of equals; (0, 0.0) without any."""
    scores = [
        (-row["step"], row[key])
        for row in metrics
        if row.get("phase") == phase
        for key in [next((key for key in row if key.startswith("valid_")), None)]
        if key is not None
    ]
    step, score = max(scores, key=lambda pair: pair[::-1], default=(0, 0.0))
    return -step, score


def _notes(row: Mapping[str, Any], reasons: list[str]) -> list[str]:
    late, seeds = row.get("unfinished"), row["seeds"]
    if not late:
        return reasons
    return ["unfinished" + ("" if late == seeds else f" ({late} of {seeds} seeds)"), *reasons]


def _reasons(runs: list[DictConfig], failed: Mapping[str, str]) -> list[str]:
    names = {Path(run.out).name: run.seed for run in runs}
    return [f"seed {names[name]} failed: {why}" for name, why in failed.items() if name in names]


def measuring_conditions(
    compared: Comparison, runs: dict[RunKey, DictConfig], machine: Machine, config: DictConfig
) -> dict[str, Any]:
    """What the page says about how its values were measured.

    Args:
        compared: the runs.
        runs: their configurations.
        machine: precision and device.
        config: of the command, with ``jobs``, ``rounds`` and ``speed_rows``.
    """
    results = compared.entries[-1].results
    teacher = results["scores"]["teacher"]
    students = [entry.results["cost"] for entry in compared.entries[1:]]
    own = ("seconds", "validation_seconds", "evaluation_seconds")
    return {
        "corpus": results["corpus"],
        "sentences": len(compared.test),
        "signature": teacher["signature"],
        "preprocessing": teacher["preprocessing"],
        "cpu": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
        "commit": commit(),
        "precision": machine.precision,
        "threads": torch.get_num_threads(),
        "run_threads": next(iter(runs.values())).threads,
        "jobs": config.jobs,
        "rounds": config.rounds,
        "speed_rows": min(config.speed_rows, len(compared.test)),
        "torch": torch.__version__,
        "ctranslate2": package_version("ctranslate2"),
        "runs": len(runs),
        "run_seconds": sum(cost.get(name) or 0.0 for cost in students for name in own),
        "teacher_seconds": students[0].get("teacher_seconds"),
        "demonstrations_seconds": max(cost.get("demonstrations_seconds") or 0 for cost in students),
    }


def commit() -> str:
    """The commit of this checkout, with "modified" where files differ from it."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", folder, *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + (", modified" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
