"""Compare trained systems: scores with intervals, gains and their significance, speed and cost."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.reporting.facts import unfinished
from textgen_env.metrics.scores import References, Score, corpus_score, significance
from textgen_env.metrics.statistics import paired_p_value, score_interval

BASELINES = ("mle", "seqkd")
COSTS = ("student_tokens_decoded", "teacher_tokens_scored", "gradient_tokens", "seconds")
OTHER_COSTS = ("demonstrations_seconds", "validation_seconds", "evaluation_seconds")
Curve = list[tuple[float, float]]
System = tuple[str, str]  # student, algorithm
TEACHER = "teacher"


@dataclass(frozen=True)
class Entry:
    """One run, or the teacher that all runs share.

    Args:
        algorithm: The run's algorithm; ``TEACHER`` for the teacher.
        student: The architecture.
        seed: The run's seed.
        results: ``student``, ``speed``, ``cost`` and ``training`` of the run's ``results.json``.
        outputs: The generated texts for the test split, by beam width.
    """

    algorithm: str
    student: str
    seed: int
    results: dict[str, Any]
    outputs: dict[int, list[str]]

    def scores(self, metric: str, references: References, resamples: int) -> dict[str, Score]:
        """Every value of ``metric`` at every beam width: ``{"bleu@1": …, "bleu@5": …}``."""
        return {
            f"{name}@{width}": value
            for width, texts in self.outputs.items()
            for name, value in corpus_score(metric, texts, references, resamples).items()
        }


def systems(entries: Sequence[Entry]) -> dict[System, list[Entry]]:
    """Group the runs by student and algorithm, in the order of ``entries``."""
    groups: dict[System, list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.student, entry.algorithm), []).append(entry)
    return groups


def comparison_rows(
    entries: Sequence[Entry], metric: str, references: References, resamples: int = 1000
) -> list[dict[str, Any]]:
    """One row per system, over the runs of all its seeds.

    Args:
        entries: Every run, and the teacher.
        metric: The task's metric, ``Task.metric``.
        references: Of the test split.
        resamples: Bootstrap resamples of the test sentences.

    Returns:
        Rows with these values. Scores, costs and ``gain`` are means over the seeds; the gain is
        over ``mle`` with the same student and seed, at the first beam width. ``speedup`` is the
        median, ``speedup_low`` and ``speedup_high`` are the extremes. ``…_low`` and ``…_high`` of a
        score are its 95 % interval, as in ``score_interval``: over test sentences and, with several
        seeds, over seeds. ``p_mle`` and ``p_seqkd`` test the first score against that baseline:
        with one seed by the paired bootstrap over sentences, with several by the paired t-test over
        the seeds that both have; None without the baseline. ``unfinished`` is the number of runs
        that improved until the end of their training.
    """
    groups = systems(entries)
    scores = {id(run): run.scores(metric, references, resamples) for run in entries}
    main = {run: next(iter(values.values())).value for run, values in scores.items()}

    def gain_and_p(
        student: str, baseline: str, runs: list[Entry]
    ) -> tuple[float | None, float | None]:
        pairs = [] if runs[0].algorithm == TEACHER else _pairs(groups, student, baseline, runs)
        gains = [main[id(run)] - main[id(other)] for other, run in pairs]
        if not gains:
            return None, None
        if len(gains) > 1:
            return statistics.fmean(gains), paired_p_value(gains)
        other, run = (next(iter(entry.outputs.values())) for entry in pairs[0])
        return gains[0], significance(metric, other, run, references, resamples)

    rows = []
    for (student, algorithm), runs in groups.items():
        row: dict[str, Any] = {"algorithm": algorithm, "student": student, "seeds": len(runs)}
        row["unfinished"] = sum(unfinished(run.results) for run in runs)
        for name in scores[id(runs[0])]:
            row |= _mean_score(name, [scores[id(run)][name] for run in runs])
        row["score_by_seed"] = [main[id(run)] for run in runs]
        tests = {name: gain_and_p(student, name, runs) for name in BASELINES}
        row["gain"] = tests["mle"][0]
        row |= {f"p_{name}": None if name == algorithm else tests[name][1] for name in BASELINES}
        rows.append(row | _size_speed_cost(runs))
    return rows


def _mean_score(name: str, scores: list[Score]) -> dict[str, float]:
    means = [score.value for score in scores]
    intervals = [
        (score.low, score.high)
        for score in scores
        if score.low is not None and score.high is not None
    ]
    low, high = score_interval(means, intervals)
    return {name: statistics.fmean(means), f"{name}_low": low, f"{name}_high": high}


def _pairs(
    groups: dict[System, list[Entry]], student: str, baseline: str, runs: list[Entry]
) -> list[tuple[Entry, Entry]]:
    """(baseline run, run) with the same student, for every seed that both have."""
    baselines = {run.seed: run for run in groups.get((student, baseline), ())}
    return [(baselines[run.seed], run) for run in runs if run.seed in baselines]


def _size_speed_cost(runs: list[Entry]) -> dict[str, Any]:
    """Unknown values are None."""
    ratios = [run.results["speed"]["speedup"] for run in runs]
    speedups = [ratio for ratio in ratios if ratio is not None]
    row: dict[str, Any] = {"parameters": runs[0].results["student"]["parameters"]}
    for name, pick in (("speedup", statistics.median), ("speedup_low", min), ("speedup_high", max)):
        row[name] = pick(speedups) if speedups else None
    for cost in (*COSTS, *OTHER_COSTS):
        values = [run.results["cost"].get(cost) for run in runs]
        row[cost] = None if None in values else statistics.fmean(values)
    return row


def gains_by_length(
    entries: Sequence[Entry], metric: str, references: References, buckets: int = 4
) -> dict[System, list[Curve]]:
    """The gain over ``mle`` by reference length.

    Errors compound with length, so the gain of imitation should grow with it (Lin et al. 2020,
    section 5).

    Args:
        entries: Every run.
        metric: The task's metric.
        references: Of the test split.
        buckets: Number of equal-sized groups of sentences, by length.

    Returns:
        ``{(student, algorithm): [[(mean length in words, gain), …] per seed]}``.
    """
    length = np.array([len(reference[0].split()) for reference in references])
    by_length = np.array_split(np.argsort(length, kind="stable"), buckets)
    buckets_of_rows = [rows for rows in by_length if len(rows)]
    beam = next(iter(entries[0].outputs))

    def bucket_scores(run: Entry) -> list[float]:
        scores = []
        for rows in buckets_of_rows:
            texts = [run.outputs[beam][i] for i in rows]
            values = corpus_score(metric, texts, [references[i] for i in rows], resamples=0)
            scores.append(next(iter(values.values())).value)
        return scores

    def gains(baseline: Entry, run: Entry) -> Curve:
        pairs = zip(buckets_of_rows, scores[id(baseline)], scores[id(run)], strict=True)
        return [(float(length[rows].mean()), after - before) for rows, before, after in pairs]

    trained = [entry for entry in entries if entry.algorithm != TEACHER]
    groups, scores = systems(trained), {id(run): bucket_scores(run) for run in trained}
    return {
        (student, algorithm): [gains(*pair) for pair in pairs]
        for (student, algorithm), runs in groups.items()
        if algorithm != "mle" and (pairs := _pairs(groups, student, "mle", runs))
    }
