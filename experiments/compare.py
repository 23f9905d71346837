"""Algorithms × students × seeds, one table: ``python experiments/compare.py env=IWSLT-v0 'algorithms=[mle,imitkd_full]'``."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

import command_line
import dagger
import distil
from agents.comparison import COSTS, Entry, gains_by_length, rows
from agents.evaluation import outputs, subset, writer
from agents.journal import console
from agents.locks import locked
from agents.report import read_metrics, versus
from agents.report.facts import amount
from agents.store import fingerprint
from agents.trainer import Interrupted
from groups import needs_start
from reopen import reopen_student
from run_folder import ALWAYS, UNFINISHED, begun, check_same, interrupted
from textgen_env.errors import UserError
from textgen_env.files import write_atomically

Key = tuple[str, str, int]  # algorithm, student, seed
LISTS = {"algorithms": "algorithm", "students": "student", "seeds": "seed", "beams": "evaluate.beam"}  # here → of one run


def main(config: DictConfig, words: list[str]) -> None:
    """Every run that is not finished yet → comparison.md, .csv, .json and the figures."""
    check(config, words)
    folder = Path(config.out or f"runs/compare-{_env(words)}")
    plan = {
        (algorithm, student, seed): folder / f"{algorithm}-{student}-seed{seed}"
        for student in config.students
        for algorithm in config.algorithms
        for seed in config.seeds
    }
    known = [command_line.passing("dagger", words, algorithm=key[0], student=key[1]) for key in plan]
    if unused := [word for word in words if not any(word in passed for passed in known)]:
        raise UserError(f"{' '.join(unused)}: none of these runs has such a key (python experiments/dagger.py --help)")
    configs = {}
    for (key, run), passed in zip(plan.items(), known, strict=True):
        judging = f"evaluate.beam={config.beams[0]}"  # the teacher too, as the students' first score
        configs[key] = command_line.read("dagger", [*passed, judging, *own_words(key, run, plan, words)])
        if configs[key].init is None:
            distil.check_start(configs[key])
        if begun(run) and (run / "config.yaml").is_file():
            check_same(run / "config.yaml", configs[key], ALWAYS if (run / "results.json").is_file() else UNFINISHED)
    try:
        with locked(folder):
            for key in sorted(plan, key=lambda key: needs_start(key[0])):  # those start from mle's student
                run, done = plan[key], (plan[key] / "results.json").is_file()
                console.print(f"[bold]{run.name}[/bold]" + (": finished before" if done else ""))
                if not done:
                    dagger.main(configs[key])
            report(folder, configs, list(config.beams))
    except (Interrupted, KeyboardInterrupt) as stop:
        raise interrupted(stop, shlex.join(["python", "experiments/compare.py", *sys.argv[1:]])) from stop


def check(config: DictConfig, words: list[str]) -> None:
    """UserError where ``words`` hold a key of one run which this command sets itself."""
    given = dict(word.partition("=")[::2] for word in words)
    for many, one in LISTS.items():
        if one in given:
            raise UserError(f"{one}={given[one]}: here it is {many}=[{given[one].strip('[]')}]")
    if "resume" in given:
        raise UserError("resume: leave it out; this command always goes on where it was stopped")


def _env(words: list[str]) -> str:
    """The name of the task that ``words`` choose."""
    return command_line.read("dagger", [word for word in words if word.startswith("env=")]).env.name


def own_words(key: Key, run: Path, plan: dict[Key, Path], words: list[str]) -> list[str]:
    """What sets the run ``key`` apart; an algorithm that improves a student gets mle's, unless the command gives another."""
    algorithm, student, seed = key
    own = [f"student={student}", f"seed={seed}", f"out={run}", f"resume={str(begun(run)).lower()}"]
    start = plan.get(("mle", student, seed))
    told = any(word.startswith("init=") or word.lower() == "algorithm.cold_start=true" for word in words)
    if start is not None and needs_start(algorithm) and not told:
        own.append(f"init={start}")
    return [*own, command_line.chosen_algorithm(algorithm)]


def report(folder: Path, runs: dict[Key, DictConfig], beams: list[int]) -> None:
    """The table and figures of finished runs."""
    entries, curves = [], {}
    for (algorithm, student, seed), asked in runs.items():
        run = Path(asked.out)
        config, world, policy = reopen_student(run, asked.device, asked.precision)
        on = distil.machine(config)
        test = subset(world.splits["test"], config.evaluate.rows)
        write = {width: writer(policy, width, on.precision, on.device) for width in beams}
        paths, whose = {k: run / "outputs" / f"test{len(test)}-beam{k}.json" for k in beams}, fingerprint(policy)
        texts = {k: outputs(write[k], world, test, paths[k], whose) for k in beams}
        entries.append(Entry(algorithm, student, seed, json.loads((run / "results.json").read_text()), texts))
        curves.setdefault((student, algorithm), read_metrics(run))
    references, metric = test.texts.references, world.metric
    table = rows(entries, metric, references)
    first = entries[0].results
    figures: dict[str, bytes] = {"scores.png": versus.scores_png(table, _first(first["scores"]["teacher"]))}
    if gains := gains_by_length(entries, metric, references):
        figures["gain_by_length.png"] = versus.lines_png(gains, "reference length, words", f"{metric} gain over mle", zero=True)
    for cost in COSTS:
        figures[f"score_by_{cost}.png"] = versus.lines_png(_by_cost(curves, cost), cost.replace("_", " "), "validation score")
    corpus = first["corpus"]
    notes = [
        f"Corpus: {corpus['name']} ({corpus['source']}), {len(test):,} test sentences.",
        f"Metric: {first['scores']['teacher']['signature']}; "
        f"preprocessing: {first['scores']['teacher'].get('preprocessing', 'not recorded')}.",
        f"Teacher: {_first(first['scores']['teacher']):.1f}, {amount(first['teacher']['parameters'])} parameters.",
        "Intervals: 95 %, over seeds, or with one seed over test sentences.",
        "p: paired bootstrap over sentences, two-sided; of several seeds the largest.",
    ]
    if started := sorted({key[0] for key in runs if needs_start(key[0])}):
        notes.append(f"{', '.join(started)}: from a trained student, whose training their updates and costs do not contain.")
    text = versus.markdown(table, f"{world.id}: {len(runs)} runs", notes)
    written = {"rows": table, "teacher": first["teacher"] | first["scores"]["teacher"], "corpus": corpus}
    figures |= {"comparison.md": text.encode(), "comparison.csv": versus.comma_separated(table).encode()}
    figures["comparison.json"] = json.dumps(written, indent=1, ensure_ascii=False).encode()
    for name, data in figures.items():
        write_atomically(folder / name, data)
    console.print(text, markup=False, soft_wrap=True)
    console.print(f"{folder / 'comparison.md'}, .csv, .json; figures: {', '.join(n for n in figures if n.endswith('.png'))}")


def _first(scores: dict[str, Any]) -> float:
    return next(iter(scores.values()))


def _by_cost(
    curves: dict[tuple[str, str], list[dict[str, Any]]], cost: str
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """The first validation score of each run against what it had cost by then."""
    found = {}
    for key, metrics in curves.items():
        scored = [row for row in metrics if {"valid_loss", cost} <= row.keys() and row["phase"] == "student"]
        found[key] = [(row[cost], next(v for k, v in row.items() if k.startswith("valid_"))) for row in scored]
    return found


if __name__ == "__main__":
    command_line.run(main, "compare", passes_on=True)
