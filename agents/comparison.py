"""Several trained systems side by side: scores with intervals, gains and their significance, speed and cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen_env.metrics import References, significance
from textgen_env.metrics import score as corpus_score

BASELINES = ("mle", "seqkd")
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # Student's t for 1 … 9 degrees of freedom
COSTS = ("student_tokens_decoded", "teacher_tokens_scored", "gradient_tokens", "seconds")


@dataclass(frozen=True)
class Entry:
    """One run: its ``results.json``, and for every beam width what it wrote for the test split."""

    algorithm: str
    student: str
    seed: int
    results: dict[str, Any]
    outputs: dict[int, list[str]]

    def scored(self, metric: str, references: References) -> dict[str, float]:
        """``{"bleu@1": 24.1, "bleu@5": …}``: every figure of ``metric`` at every beam width."""
        return {
            f"{name}@{width}": figure.value
            for width, texts in self.outputs.items()
            for name, figure in corpus_score(metric, texts, references, resamples=0).items()
        }


def rows(entries: Sequence[Entry], metric: str, references: References) -> list[dict[str, Any]]:
    """One row a system (algorithm and student), in the order of ``entries``, its runs' seeds taken together.

    Each figure comes as its mean over the seeds; ``…_low`` and ``…_high`` are its 95 % interval: Student's t over seeds, or
    with one seed the bootstrap over the test sentences.  ``gain``: of the first figure at the first beam width, over ``mle``
    with the same student.  ``p_mle``, ``p_seqkd``: paired bootstrap over sentences, of several seeds the largest; None without
    that baseline.
    """
    systems: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        systems.setdefault((entry.student, entry.algorithm), []).append(entry)
    return [_row(key, runs, systems, metric, references) for key, runs in systems.items()]


def _row(
    key: tuple[str, str],
    runs: list[Entry],
    systems: dict[tuple[str, str], list[Entry]],
    metric: str,
    references: References,
) -> dict[str, Any]:
    student, algorithm = key
    row: dict[str, Any] = {"algorithm": algorithm, "student": student, "seeds": len(runs)}
    scored = [run.scored(metric, references) for run in runs]
    for name in scored[0]:
        row[name] = statistics.fmean(each[name] for each in scored)
    first = next(iter(scored[0]))
    row[f"{first}_low"], row[f"{first}_high"] = _interval([each[first] for each in scored], runs[0], metric, references)
    baseline = systems.get((student, "mle"))
    before = [run.scored(metric, references)[first] for run in baseline or ()]
    row["gain"] = row[first] - statistics.fmean(before) if before else None
    for name in BASELINES:
        row[f"p_{name}"] = _p_value(systems.get((student, name)), runs, metric, references)
    row["parameters"] = runs[0].results["student"]["parameters"]
    row["speedup"] = statistics.median(run.results["speed"]["speedup"] for run in runs)
    return row | {cost: statistics.fmean(run.results["cost"][cost] for run in runs) for cost in COSTS}


def _interval(values: list[float], run: Entry, metric: str, references: References) -> tuple[float | None, float | None]:
    if len(values) == 1:
        first = next(iter(corpus_score(metric, next(iter(run.outputs.values())), references).values()))
        return first.low, first.high
    freedom = len(values) - 1
    quantile = T_975[freedom - 1] if freedom <= len(T_975) else 1.96 + 2.4 / freedom + 2.8 / freedom**2
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values) - half, statistics.fmean(values) + half


def _p_value(baseline: list[Entry] | None, runs: list[Entry], metric: str, references: References) -> float | None:
    """Paired by sentence, at the first beam width, seed against the same seed; None where there is nothing to compare with.

    Of several seeds the largest: their sentences are the same ones, and taken together would count as new evidence.
    """
    others = {run.seed: run for run in baseline or ()}
    pairs = [(others[run.seed], run) for run in runs if run.seed in others]
    if not pairs or pairs[0][0] is pairs[0][1]:
        return None
    width = next(iter(runs[0].outputs))
    return max(significance(metric, left.outputs[width], right.outputs[width], references) for left, right in pairs)


def gains_by_length(
    entries: Sequence[Entry], metric: str, references: References, buckets: int = 4
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """``{(student, algorithm): [(mean reference length in words, gain over mle), …]}``, ``buckets`` of equally many sentences.

    Lin et al. 2020, section 5: the gain of imitation should grow with length, where errors compound.
    """
    length = np.array([len(known[0].split()) for known in references])
    parts = [part for part in np.array_split(np.argsort(length, kind="stable"), buckets) if len(part)]
    width = next(iter(entries[0].outputs))

    def scores(run: Entry) -> list[float]:
        split = (([run.outputs[width][i] for i in part], [references[i] for i in part]) for part in parts)
        return [next(iter(corpus_score(metric, *texts, resamples=0).values())).value for texts in split]

    each: dict[tuple[str, str], list[list[float]]] = {}
    for run in entries:
        each.setdefault((run.student, run.algorithm), []).append(scores(run))
    means = {key: np.mean(found, axis=0) for key, found in each.items()}
    return {
        key: [(float(length[part].mean()), float(gain)) for part, gain in zip(parts, mean - means[key[0], "mle"], strict=True)]
        for key, mean in means.items()
        if key[1] != "mle" and (key[0], "mle") in means
    }
