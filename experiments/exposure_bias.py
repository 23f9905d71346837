"""Measures exposure bias: ``python experiments/exposure_bias.py 'run=[RUN,RUN2]'``."""

from __future__ import annotations

import json
from typing import Any

from omegaconf import DictConfig, OmegaConf

import cli
from agents.evaluation import exposure_bias
from agents.evaluation.outputs import subset
from agents.reporting import exposure_report
from agents.runs.folder import make_folder
from agents.runs.loading import load_run
from agents.runs.machine import use_machine
from agents.runs.run import Run
from textgen_env.data.files import write_atomically
from textgen_env.errors import Range, UserError, check_range
from textgen_env.terminal import console

SETTINGS = ("top_k", "corrupt_at", "corrupt", "resamples", "seed")


def main(config: DictConfig) -> None:
    """Measure all runs; print a table, write exposure_bias.json and exposure_bias.png."""
    machine = use_machine(config)
    runs = open_all(config)
    first = next(iter(runs.values()))
    check_range("top_k", config.top_k, Range(0, len(first.task.vocabulary)))
    first.teacher.check_probabilities("exposure_bias.py")
    folder = make_folder(config.out)
    reports = exposure_bias.measure_exposure_bias(
        {name: run.student for name, run in runs.items()},
        first.teacher.oracle,
        first.task,
        subset(first.task.splits[config.split], config.rows),
        exposure_bias.ExposureBiasConfig(
            **{name: config[name] for name in SETTINGS}, **machine._asdict()
        ),
    )
    results = {
        "settings": OmegaConf.to_container(config),
        "env": first.task.id,
        "teacher": first.teacher.summary,
        "runs": reports,
    }
    write_atomically(folder / "exposure_bias.json", json.dumps(results, indent=1).encode())
    write_atomically(folder / "exposure_bias.png", exposure_report.exposure_bias_png(results))
    console.print(exposure_report.exposure_bias_table(results))
    console.print(
        f"{folder / 'exposure_bias.png'}, {folder / 'exposure_bias.json'}", soft_wrap=True
    )


def open_all(config: DictConfig) -> dict[str, Run]:
    """Open all runs, ``{name: run}``; refuse runs that differ in corpus or teacher."""
    if not config.run:
        raise UserError("give at least one finished run folder: run=[RUN]")
    env = cli.given_env(config.run[0], config.overrides)
    teacher = cli.given_teacher(config.overrides)
    runs = {
        folder: load_run(folder, config.device, config.precision, env, teacher)
        for folder in map(str, config.run)
    }
    shared: dict[tuple[Any, ...], str] = {}
    for folder, run in runs.items():
        texts = run.task.corpus.fingerprint, run.task.vocabulary.fingerprint, run.task.limits
        shared.setdefault((*texts, run.teacher.summary["path"]), folder)
    if len(shared) > 1:
        one, other, *_ = shared.values()
        raise UserError(
            f"{one} and {other} differ in corpus, vocabulary, limits or teacher; "
            "give runs that share all four"
        )
    names = (
        [run.config.algorithm.name for run in runs.values()],
        [run.folder.name for run in runs.values()],
        list(runs),
    )
    labels = next(labels for labels in names if len(set(labels)) == len(runs))
    return dict(zip(labels, runs.values(), strict=True))


if __name__ == "__main__":
    cli.run(main, "exposure_bias")
