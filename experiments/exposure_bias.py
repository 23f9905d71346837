"""Where students leave their teacher, and how that adds up: ``python experiments/exposure_bias.py run=RUN [run=RUN2 …]``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

import command_line
import distil
from agents.evaluation import exposure_bias
from agents.evaluation.outputs import subset
from agents.reporting import exposure_report
from reopen import Run, reopen
from run_folder import made_folder
from textgen_env.data.files import write_atomically
from textgen_env.errors import Range, UserError, check_range, unknown
from textgen_env.terminal import console


def main(config: DictConfig) -> None:
    """Run folders → one table, exposure_bias.json and exposure_bias.png."""
    runs = open_all(config)
    first = next(iter(runs.values()))
    if config.split not in first.task.splits:
        raise unknown("split", config.split, first.task.splits)
    check_range("top_k", config.top_k, Range(0, len(first.task.vocabulary)))
    on, split, folder = distil.machine(config), first.task.splits[config.split], made_folder(config.out)
    distil.use_processor(config, on)
    reports = exposure_bias.measure(
        {name: run.student for name, run in runs.items()},
        first.teacher.oracle,
        first.task,
        subset(split, config.rows),
        exposure_bias.Settings(
            top_k=config.top_k,
            corrupt_at=config.corrupt_at,
            corrupt=config.corrupt,
            resamples=config.resamples,
            seed=config.seed,
            precision=on.precision,
            device=on.device,
        ),
    )
    results = {
        "settings": OmegaConf.to_container(config),
        "env": first.task.id,
        "teacher": first.teacher.about,
        "runs": reports,
    }
    write_atomically(folder / "exposure_bias.json", json.dumps(results, indent=1).encode())
    write_atomically(folder / "exposure_bias.png", exposure_report.draw(results))
    console.print(exposure_report.table(results))
    console.print(f"{folder / 'exposure_bias.png'}, {folder / 'exposure_bias.json'}", soft_wrap=True)


def open_all(config: DictConfig) -> dict[str, Run]:
    """``{name: run}``; UserError unless all of them are students of one teacher on one corpus."""
    if not config.run:
        raise UserError("name at least one finished run folder: run=RUN")
    runs = {folder: reopen(folder, config.device, config.precision) for folder in map(str, config.run)}
    shared: dict[tuple[Any, ...], str] = {}
    for folder, run in runs.items():
        shared.setdefault(
            (run.task.corpus.fingerprint, run.task.vocabulary.fingerprint, run.task.limits, run.teacher.about["path"]),
            folder,
        )
    if len(shared) > 1:
        one, other, *_ = shared.values()
        raise UserError(
            f"{one} and {other} differ in corpus, vocabulary, limits or teacher; one figure compares students of one teacher"
        )
    named = ([run.config.algorithm.name for run in runs.values()], [Path(folder).name for folder in runs], list(runs))
    labels = next(names for names in named if len(set(names)) == len(runs))
    return dict(zip(labels, runs.values(), strict=True))


if __name__ == "__main__":
    command_line.run(main, "exposure_bias")
