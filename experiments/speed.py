"""Measures how much faster than its teacher a student decodes: ``speed.py run=RUN``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openmp  # noqa: F401  (before torch)

import torch
from omegaconf import DictConfig
from rich.table import Table

import cli
from agents.evaluation.outputs import subset
from agents.evaluation.speed import decoding_speed
from agents.generation.decoder import Decoder
from agents.generation.demonstrations import oracle_decoder
from agents.runs.machine import install_accel, package_versions
from agents.runs.run import Run
from textgen_env.data.files import write_atomically
from textgen_env.errors import Range, UserError, check_range
from textgen_env.terminal import console

COLUMNS = ("threads", "beam", "batch", "teacher tok/s", "student tok/s", "speed-up")


def main(config: DictConfig) -> None:
    """Measure both on the same sentences; print a table and write RUN/speed.json."""
    install_accel(None)
    run = cli.open_run(config)
    if run.teacher.policy is None:
        raise UserError(
            f"{config.run}: its teacher ({run.teacher.summary['architecture']}) does not decode; "
            "choose a run with a trained teacher"
        )
    for beam in config.beams:
        check_range("beams", beam, Range(1, len(run.task.vocabulary)))
    rows = list(measure(config, run))
    results = {
        **{name: config[name] for name in ("rounds", "length_penalty")},
        "rows": len(subset(run.task.splits["test"], config.rows)),
        **run.machine._asdict(),
        "speeds": rows,
        "versions": package_versions(),
    }
    write_atomically(run.folder / "speed.json", json.dumps(results, indent=1).encode())
    table = Table(*COLUMNS, title=f"{config.run}, {run.machine.precision}")
    for row in rows:
        settings = (str(row[name]) for name in ("threads", "beam", "batch_size"))
        rates = (f"{row[f'{who}_tokens_per_second']:,.0f}" for who in ("teacher", "student"))
        table.add_row(*settings, *rates, f"{row['speedup']:.1f}×")
    console.print(table)


def measure(config: DictConfig, run: Run) -> Iterator[dict[str, Any]]:
    """Measure teacher and student by threads, beam width and batch size."""
    test = subset(run.task.splits["test"], config.rows)
    for threads in config.threads:
        torch.set_num_threads(threads)
        for beam in config.beams:
            settings = beam, *run.machine, config.length_penalty
            decoders = {
                "teacher": oracle_decoder(run.teacher.oracle, *settings),
                "student": Decoder(run.student, *settings),
            }
            for batch_size in config.batch_sizes:
                rates = decoding_speed(decoders, run.task, test, batch_size, config.rounds)
                ratio = rates["student_tokens_per_second"] / rates["teacher_tokens_per_second"]
                place = {"threads": threads, "beam": beam, "batch_size": batch_size}
                yield {**place, **rates, "speedup": ratio}


if __name__ == "__main__":
    cli.run(main, "speed")
