"""Algorithms × students × seeds, one table: ``python experiments/compare.py env=IWSLT-v0 algorithms=[mle,imitkd_full]``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

import command_line
import dagger
import distil
from agents.comparison import COSTS, Entry, gains_by_length, rows
from agents.evaluation import outputs, subset, writer
from agents.journal import console
from agents.report import read_metrics, versus
from groups import algorithm_class
from reopen import reopen
from textgen_env.errors import UserError
from textgen_env.files import write_atomically


def main(config: DictConfig, words: list[str]) -> None:
    """Every run that is not finished yet → comparison.md, .csv, .json and the figures."""
    folder = Path(config.out)
    plan = {
        (algorithm, student, seed): folder / f"{algorithm}-{student}-seed{seed}"
        for student in config.students
        for algorithm in config.algorithms
        for seed in config.seeds
    }
    known = [command_line.passing("dagger", words, algorithm=key[0], student=key[1]) for key in plan]
    if unused := [word for word in words if not any(word in passed for passed in known)]:
        raise UserError(f"{' '.join(unused)}: none of these runs has such a key (python experiments/dagger.py --help)")
    for ((algorithm, student, seed), run), passed in zip(plan.items(), known, strict=True):
        console.print(f"[bold]{run.name}[/bold]" + (": finished before" if (run / "results.json").is_file() else ""))
        if not (run / "results.json").is_file():
            own = [f"student={student}", f"seed={seed}", f"out={run}", f"resume={str(run.exists()).lower()}"]
            start = plan.get(("mle", student, seed))
            if start is not None and algorithm_class(algorithm).needs_start and not any(w.startswith("init=") for w in words):
                own.append(f"init={start}")
            dagger.main(command_line.read("dagger", [*passed, *own, command_line.chosen_algorithm(algorithm)]))
    report(folder, plan, list(config.beams))


def report(folder: Path, plan: dict[tuple[str, str, int], Path], beams: list[int]) -> None:
    """The table and figures of finished runs."""
    entries, curves = [], {}
    for (algorithm, student, seed), run in plan.items():
        config, world, policy, _ = reopen(run)
        on = distil.machine(config)
        test = subset(world.splits["test"], config.evaluate.rows or len(world.splits["test"]))
        write = {width: writer(policy, width, on.precision, on.device) for width in beams}
        texts = {k: outputs(write[k], world, test, run / "outputs" / f"test{len(test)}-beam{k}.json") for k in beams}
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
        f"Metric: {first['scores']['teacher']['signature']}",
        f"Teacher: {_first(first['scores']['teacher']):.1f}, {first['teacher']['parameters']} parameters.",
        "Intervals: 95 %, over seeds, or with one seed over test sentences. p: paired bootstrap, two-sided.",
    ]
    text = versus.markdown(table, f"{world.id}: {len(plan)} runs", notes)
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
