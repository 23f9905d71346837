"""Several trained systems side by side: scores with intervals, gains and their significance, speed and cost."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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
    """One run, or the teacher of all.

    Args:
        algorithm: How it was trained; ``TEACHER``, for the teacher.
        student: Its architecture.
        seed: Of the run.
        results: The run's ``results.json``, of which ``student``, ``speed`` and ``cost`` are used.
        outputs: For every beam width its texts for the test split.
    """

    algorithm: str
    student: str
    seed: int
    results: dict[str, Any]
    outputs: dict[int, list[str]]

    def scores(self, metric: str, references: References, resamples: int) -> dict[str, Score]:
        """``{"bleu@1": …, "bleu@5": …}``: every value of ``metric`` at every beam width."""
        return {
            f"{name}@{width}": value
            for width, texts in self.outputs.items()
            for name, value in corpus_score(metric, texts, references, resamples).items()
        }


def systems(entries: Sequence[Entry]) -> dict[System, list[Entry]]:
    """The runs of each student and algorithm, in the order of ``entries``."""
    found: dict[System, list[Entry]] = {}
    for entry in entries:
        found.setdefault((entry.student, entry.algorithm), []).append(entry)
    return found


def rows(
    entries: Sequence[Entry], metric: str, references: References, resamples: int = 1000
) -> list[dict[str, Any]]:
    """One row per system, the runs of its seeds taken together.

    Every score, cost and ``gain`` (over ``mle`` with the same student and seed, first beam width) is
    the mean over the seeds; ``speedup`` is the median, ``speedup_low`` and ``speedup_high`` the extremes.
    ``…_low`` and ``…_high`` of a score are its 95 % interval, as in ``score_interval``: over test
    sentences and, with several seeds, over seeds. ``p_mle`` and ``p_seqkd`` test the first score
    against that baseline, None without one: with one seed by the paired bootstrap over sentences,
    with several by the paired t-test over the seeds that both have.

    Args:
        entries: Every run, and the teacher.
        metric: Its name, as ``Task.metric``.
        references: Of the test split.
        resamples: Of the bootstrap over sentences.
    """
    runs = systems(entries)
    scored = {id(run): run.scores(metric, references, resamples) for run in entries}
    main = {run: next(iter(values.values())).value for run, values in scored.items()}

    def compared(
        student: str, baseline: str, own: list[Entry]
    ) -> tuple[float | None, float | None]:
        """Mean gain over ``baseline`` and its p-value."""
        pairs = [] if own[0].algorithm == TEACHER else _pairs(runs, student, baseline, own)
        gains = [main[id(run)] - main[id(other)] for other, run in pairs]
        if not gains:
            return None, None
        if len(gains) > 1:
            return statistics.fmean(gains), paired_p_value(gains)
        other, run = (next(iter(entry.outputs.values())) for entry in pairs[0])
        return gains[0], significance(metric, other, run, references, resamples)

    found = []
    for (student, algorithm), own in runs.items():
        row: dict[str, Any] = {"algorithm": algorithm, "student": student, "seeds": len(own)}
        for name in scored[id(own[0])]:
            row |= _score(name, [scored[id(run)][name] for run in own])
        row["score_by_seed"] = [main[id(run)] for run in own]
        tests = {name: compared(student, name, own) for name in BASELINES}
        row["gain"] = tests["mle"][0]
        row |= {f"p_{name}": None if name == algorithm else tests[name][1] for name in BASELINES}
        found.append(row | _facts(own))
    return found


def _score(name: str, scores: list[Score]) -> dict[str, float]:
    """Mean and interval."""
    means = [score.value for score in scores]
    intervals = [
        (score.low, score.high)
        for score in scores
        if score.low is not None and score.high is not None
    ]
    low, high = score_interval(means, intervals)
    return {name: statistics.fmean(means), f"{name}_low": low, f"{name}_high": high}


def _pairs(
    runs: dict[System, list[Entry]], student: str, baseline: str, own: list[Entry]
) -> list[tuple[Entry, Entry]]:
    """(run of the baseline, run) with the same student, for every seed that both have."""
    others = {run.seed: run for run in runs.get((student, baseline), ())}
    return [(others[run.seed], run) for run in own if run.seed in others]


def _facts(own: list[Entry]) -> dict[str, Any]:
    """Size, speed and cost; None where it is not known."""
    ratios = [run.results["speed"]["speedup"] for run in own]
    speedups = [ratio for ratio in ratios if ratio is not None]
    facts: dict[str, Any] = {"parameters": own[0].results["student"]["parameters"]}
    for name, pick in (("speedup", statistics.median), ("speedup_low", min), ("speedup_high", max)):
        facts[name] = pick(speedups) if speedups else None
    for cost in (*COSTS, *OTHER_COSTS):
        values = [run.results["cost"].get(cost) for run in own]
        facts[cost] = None if None in values else statistics.fmean(values)
    return facts


def gains_by_length(
    entries: Sequence[Entry], metric: str, references: References, buckets: int = 4
) -> dict[System, list[Curve]]:
    """How the gain over ``mle`` depends on the length of the reference.

    Lin et al. 2020, section 5: the gain of imitation should grow with length, where errors compound.

    Args:
        entries: Every run.
        metric: Its name.
        references: Of the test split.
        buckets: Groups of sentences by length, of equal size.

    Returns:
        ``{(student, algorithm): [[(mean length in words, gain), …] per seed]}``.
    """
    length = np.array([len(reference[0].split()) for reference in references])
    groups = [
        rows for rows in np.array_split(np.argsort(length, kind="stable"), buckets) if len(rows)
    ]
    width = next(iter(entries[0].outputs))

    def scores(run: Entry) -> list[float]:
        """The score of each group."""
        split = (
            ([run.outputs[width][i] for i in rows], [references[i] for i in rows])
            for rows in groups
        )
        return [
            next(iter(corpus_score(metric, *texts, resamples=0).values())).value for texts in split
        ]

    def gains(baseline: Entry, run: Entry) -> Curve:
        pairs = zip(groups, scored[id(baseline)], scored[id(run)], strict=True)
        return [(float(length[rows].mean()), after - before) for rows, before, after in pairs]

    trained = [entry for entry in entries if entry.algorithm != TEACHER]
    runs, scored = systems(trained), {id(run): scores(run) for run in trained}
    return {
        (student, algorithm): [gains(*pair) for pair in pairs]
        for (student, algorithm), own in runs.items()
        if algorithm != "mle" and (pairs := _pairs(runs, student, "mle", own))
    }
