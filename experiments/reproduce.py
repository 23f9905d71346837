"""Reproduces a table of the results: ``python experiments/reproduce.py table=multi30k_small``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

import cli
import dagger
from agents.evaluation.outputs import subset
from agents.reporting import results_page as page
from agents.runs.comparison import RunKey, compare_finished
from agents.runs.demonstrations import training_demonstrations
from agents.runs.folder import has_content, is_finished, resumable
from agents.runs.locks import locked
from agents.runs.machine import Machine, use_machine
from agents.runs.results_table import (
    measure_speeds,
    measuring_conditions,
    system_decoders,
    table_rows,
)
from agents.runs.student import build_student, needs_start
from agents.runs.task import build_task
from agents.runs.teacher import find_teacher
from agents.runs.training import build_algorithm, check_settings
from cli.planning import plan
from cli.processes import Job, run_jobs
from cli.tables import read_table
from conf import CPUS
from textgen_env.data.files import write_atomically
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.terminal import console

LISTS = ("algorithms", "students", "seeds")


def main(config: DictConfig) -> None:
    """Table → teacher → the runs that are missing → scores → speeds → page."""
    table = read_table(config.table, {key: config[key] for key in LISTS}, own_overrides(config))
    folder = Path(config.out or f"runs/{table.name}")
    runs = plan(table.lists, table.overrides, folder)
    task = build_task(next(iter(runs.values())))
    for run in runs.values():
        if run.init is None:
            check_settings(run, task, build_student(run, task))
    command = shlex.join(["python", "experiments/reproduce.py", *cli.overrides()])
    with locked(folder), resumable(command):
        machine = prepare_teacher(runs, task)
        failed = finish_all(runs, config.jobs, folder)
        finished = {key: run for key, run in runs.items() if is_finished(run.out)}
        if not finished:
            raise UserError(f"all {len(runs)} runs failed: {next(iter(failed.values()))}")
        compared = compare_finished(finished, table.lists.beams, table.lists.length_penalty)
        decoders, exported = system_decoders(compared, finished, machine, folder)
        speeds = measure_speeds(
            decoders, task, subset(compared.test, config.speed_rows), config.rounds
        )
        rows = table_rows(compared, runs, failed, exported, speeds)
        facts = measuring_conditions(compared, finished, machine, config) | {
            "missing": exported.missing
        }
        path = Path(config.page or folder / f"{table.name}.md")
        for file, content in page.pages(path, table.title, command, rows, facts).items():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, content)
    console.print(page.terminal_table(table.title, rows))
    console.print(f"page: {path}", soft_wrap=True)
    if failed:
        raise UserError(f"{len(failed)} of {len(runs)} runs failed; the same command repeats them")


def own_overrides(config: DictConfig) -> list[str]:
    """The user's keys of the runs, with those that this command sets in every run."""
    threads = config.threads or max(1, CPUS // config.jobs)
    rows = [] if config.rows is None else [f"evaluate.rows={config.rows}"]
    return [*config.overrides, *rows, f"threads={threads}"]


def prepare_teacher(runs: dict[RunKey, DictConfig], task: Task) -> Machine:
    """Train the shared teacher and generate its demonstrations, on all cores; both are cached."""
    run: Any = OmegaConf.merge(next(iter(runs.values())), {"threads": None})
    machine = use_machine(run)
    teacher = find_teacher(run, task, machine)
    if teacher.decode is None:
        raise UserError(
            f"teacher.path={run.teacher.path}: this page compares with a teacher that decodes; "
            "use compare.py"
        )
    algorithms = [
        build_algorithm(config, task, build_student(config, task), teacher.oracle)
        for config in runs.values()
        if config.init is None
    ]
    for kind in sorted({algorithm.demonstrations for algorithm in algorithms}):
        penalty = run.teacher.length_penalty
        training_demonstrations(kind, task, teacher.oracle, *machine, penalty)
    return machine


def finish_all(runs: dict[RunKey, DictConfig], count: int, folder: Path) -> dict[str, str]:
    """Start or resume every run that is not finished, ``count`` at a time.

    Returns:
        ``{name: reason}`` of the runs that failed.
    """
    jobs = {False: [], True: []}  # whether the run starts from the student of another
    for run in runs.values():
        if not is_finished(run.out):
            name = Path(run.out).name
            log = folder / "logs" / f"{name}.txt"
            jobs[needs_start(run)].append(Job(name, log, finish, OmegaConf.to_container(run)))
    before = sum(is_finished(run.out) for run in runs.values())
    console.print(f"{len(runs)} runs, {before} finished before")
    return run_jobs(jobs[False], count) | run_jobs(jobs[True], count)


def finish(settings: dict[str, Any]) -> None:
    """Start or resume one run, in a process of its own."""
    del sys.argv[1:]  # the run resumes without the arguments of this command
    config = OmegaConf.create(settings)
    folder = Path(config.out)
    with locked(folder, wait=True):  # the process of an interrupted command may still be saving
        config.resume = has_content(folder)
    if not is_finished(config.out):
        dagger.main(config)


if __name__ == "__main__":
    cli.run(main, "reproduce")
