"""Compares algorithms, students and seeds: ``compare.py 'algorithms=[mle,imitkd_full]'``."""

from __future__ import annotations

import shlex
from pathlib import Path

from omegaconf import DictConfig

import cli
import dagger
from agents.runs.comparison import write_comparison
from agents.runs.folder import is_finished, resumable
from agents.runs.locks import locked
from agents.runs.student import needs_start
from agents.runs.task import build_task
from cli.planning import check_lists, plan
from textgen_env.errors import Range, check_range
from textgen_env.terminal import console


def main(config: DictConfig) -> None:
    """Run what is not finished yet; write comparison.md, .csv, .json and the plots."""
    overrides = list(config.overrides)
    check_lists(config, overrides)
    env = cli.read("dagger", [word for word in overrides if word.startswith("env=")]).env.name
    folder = Path(config.out or f"runs/compare-{env}")
    runs = plan(config, overrides, folder)
    vocabulary = build_task(next(iter(runs.values()))).vocabulary
    for width in config.beams:
        check_range("beams", width, Range(1, len(vocabulary)))
    command = shlex.join(["python", "experiments/compare.py", *cli.overrides()])
    with locked(folder), resumable(command):
        # runs that improve a trained student come last: they may start from mle's
        for run in sorted(runs.values(), key=needs_start):
            finish(run)
        write_comparison(folder, runs, list(config.beams), config.length_penalty)


def finish(run: DictConfig) -> None:
    """Start or resume one run, unless it is finished."""
    finished = is_finished(run.out)
    console.print(Path(run.out).name + (": finished before" if finished else ""))
    if not finished:
        dagger.main(run)


if __name__ == "__main__":
    cli.run(main, "compare")
