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
import teaching
from agents.evaluation.outputs import outputs, outputs_name, subset
from agents.generation.decoder import Decoder
from agents.reporting import read_metrics, versus
from agents.reporting.comparison import COSTS, TEACHER, Curve, Entry, System, gains_by_length, rows
from agents.reporting.facts import wording
from agents.runs.locks import locked
from agents.runs.store import fingerprint
from agents.training.trainer import Interrupted
from groups import needs_start
from reopen import reopen_student
from run_folder import ALWAYS, UNFINISHED, begun, check_same, interrupted, read_results
from textgen_env.data.files import write_atomically
from textgen_env.data.split import Split
from textgen_env.errors import Range, UserError, check_range
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import Task
from textgen_env.terminal import console, safe_json, visible

Key = tuple[str, str, int]  # algorithm, student, seed
INTERVALS = {  # of the table, by whether there are several seeds
    False: "Intervals: 95 %, over test sentences. Of one seed: they do not cover other trainings.",
    True: "Intervals: 95 %, of the mean over seeds, over seeds (Student's t) and test sentences; the teacher's over sentences.",
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
        judging = [f"evaluate.beam={config.beams[0]}"]  # the teacher too, as the students' first score
        judging += [f"evaluate.length_penalty={config.length_penalty}"]
        configs[key] = command_line.read("dagger", [*passed, *judging, *own_words(key, run, plan, words)])
        if configs[key].init is None:
            distil.check_start(configs[key])
        if begun(run) and (run / "config.yaml").is_file():
            check_same(run / "config.yaml", configs[key], ALWAYS if (run / "results.json").is_file() else UNFINISHED)
    vocabulary = distil.load_task(next(iter(configs.values()))).vocabulary
    for width in config.beams:
        check_range("beams", width, Range(1, len(vocabulary)))
    try:
        with locked(folder):
            for key in sorted(plan, key=lambda key: needs_start(key[0])):  # those start from mle's student
                run, done = plan[key], (plan[key] / "results.json").is_file()
                console.print(run.name + (": finished before" if done else ""))
                if not done:
                    dagger.main(configs[key])
            report(folder, configs, list(config.beams), config.length_penalty)
    except (Interrupted, KeyboardInterrupt) as stop:
        raise interrupted(stop, shlex.join(["python", "experiments/compare.py", *sys.argv[1:]])) from stop


def check(config: DictConfig, words: list[str]) -> None:
    """UserError where ``words`` hold a key of one run which this command sets itself, or a list says something twice."""
    given = dict(word.partition("=")[::2] for word in words)
    if "evaluate.length_penalty" in given:
        power = given["evaluate.length_penalty"]
        raise UserError(f"evaluate.length_penalty={power}: here it is length_penalty={power}")
    for many, one in LISTS.items():
        if one in given:
            raise UserError(f"{one}={given[one]}: here it is {many}=[{given[one].strip('[]')}]")
        values = list(config[many])
        if twice := [value for value in values if values.count(value) > 1]:
            raise UserError(f"{many}: {twice[0]} is given {values.count(twice[0])} times; give it once")
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


def report(folder: Path, runs: dict[Key, DictConfig], beams: list[int], length_penalty: float) -> None:
    """The table and figures of finished runs."""
    entries, curves = [], {}
    for (algorithm, student, seed), asked in runs.items():
        run = Path(asked.out)
        config, task, policy = reopen_student(run, asked.device, asked.precision)
        on, results = distil.machine(config), read_results(run / "results.json")
        test = subset(task.splits["test"], config.evaluate.rows)
        texts, whose = {}, fingerprint(policy)
        for width in beams:
            write = Decoder(policy, width, on.precision, on.device, length_penalty)
            path = run / "outputs" / outputs_name(len(test), width, length_penalty)
            texts[width] = outputs(write, task, test, path, whose)
        entries.append(Entry(algorithm, student, seed, results, texts))
        curves.setdefault((student, algorithm), []).append((read_metrics(run), results["cost"]))
    shared_teacher(entries)
    entries.insert(0, teacher_entry(asked, task, test, beams, on))
    references, metric = test.texts.references, task.metric
    table = rows(entries, metric, references)
    figures: dict[str, bytes] = {"scores.png": versus.scores_png(table)}
    algorithms, score = list(dict.fromkeys(key[0] for key in runs)), wording(metric.partition(":")[0])
    if gains := gains_by_length(entries, metric, references):
        labels = "reference length, words", f"gain over mle, {score}, beam {beams[0]}"
        figures["gain_by_length.png"] = versus.lines_png(gains, *labels, algorithms, zero=True)
    for cost in COSTS:
        labels = AXES[cost], f"validation {score}, greedy"
        figures[f"score_by_{cost}.png"] = versus.lines_png(_by_cost(curves, cost), *labels, algorithms)
    text = visible(versus.markdown(table, f"{task.id}: {len(runs)} runs", notes(runs, results, len(test))), "\n")
    written = {"rows": table, "teacher": results["teacher"] | results["scores"]["teacher"], "corpus": results["corpus"]}
    figures |= {"comparison.md": text.encode(), "comparison.csv": versus.comma_separated(table).encode()}
    figures["comparison.json"] = safe_json(json.dumps(written, indent=1, ensure_ascii=False)).encode()
    for name, data in figures.items():
        write_atomically(folder / name, data)
    console.print(text, markup=False, soft_wrap=True)
    console.print(f"{folder / 'comparison.md'}, .csv, .json; figures: {', '.join(n for n in figures if n.endswith('.png'))}")


def shared_teacher(entries: list[Entry]) -> None:
    """UserError unless all runs had one teacher."""
    paths = {entry.results["teacher"]["path"]: entry for entry in entries}
    if len(paths) > 1:
        (one, first), (other, second), *_ = paths.items()
        raise UserError(
            f"{first.algorithm} seed {first.seed} had the teacher {one}, {second.algorithm} seed {second.seed} {other}: "
            "runs of one comparison share their teacher; choose another out="
        )


def teacher_entry(config: DictConfig, task: Task, test: Split, beams: list[int], on: distil.Machine) -> Entry:
    """The teacher's own row: its test outputs at every beam width, and what its training cost."""
    teacher = teaching.find_teacher(config, task, on)
    folder, texts = teaching.outputs_folder(teacher, task, on.precision), {}
    penalty = config.evaluate.length_penalty
    for width in beams:
        write = teacher.write
        if isinstance(teacher.oracle, PolicyOracle):
            write = Decoder(teacher.oracle.policy, width, on.precision, on.device, penalty)
        texts[width] = outputs(write, task, test, folder / outputs_name(len(test), width, penalty))
    speed, cost = {"speedup": None}, teacher.about["cost"] or {}
    results = {"student": {"parameters": teacher.about["parameters"]}, "speed": speed, "cost": cost}
    return Entry(TEACHER, teacher.about["architecture"], config.teacher.get("seed", 0), results, texts)


def notes(runs: dict[Key, DictConfig], results: dict[str, Any], sentences: int) -> list[str]:
    """What a reader must know below the table."""
    corpus, several = results["corpus"], len({key[2] for key in runs}) > 1
    found = [
        f"Corpus: {corpus['name']} ({corpus['source']}), {sentences:,} test sentences.",
        f"Metric: {results['scores']['teacher']['signature']}; "
        f"preprocessing: {results['scores']['teacher'].get('preprocessing', 'not recorded')}.",
        "One teacher, shared by all runs. Its row has the cost of its training, which no other row contains.",
        INTERVALS[several],
        TESTS[several],
        "Wall-clock time: of the updates alone. Beside it: generating the teacher's demonstrations (once for all runs that use "
        "them), the validations, and generating the test outputs at the first beam width.",
    ]
    if started := sorted({key[0] for key, config in runs.items() if config.init is not None}):
        found.append(f"{', '.join(started)}: from a trained student, whose training their updates and costs do not contain.")
    return found


def _by_cost(curves: dict[System, list[tuple[list[dict[str, Any]], dict[str, Any]]]], cost: str) -> dict[System, list[Curve]]:
    """The first validation score of each run, seed by seed, against what it had cost by then."""
    found: dict[System, list[Curve]] = {}
    for key, seeds in curves.items():
        for metrics, costs in seeds:
            before = (costs.get("demonstrations_seconds") or 0.0) if cost == "seconds" else 0.0
            scored = [row for row in metrics if {"valid_loss", cost} <= row.keys() and row["phase"] == "student"]
            points = [(before + row[cost], next(v for k, v in row.items() if k.startswith("valid_"))) for row in scored]
            found.setdefault(key, []).append(points)
    return found


if __name__ == "__main__":
    command_line.run(main, "compare", passes_on=True)
