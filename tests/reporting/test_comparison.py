"""The rows of a comparison: means, intervals, gains and p-values over seeds and sentences."""

import pytest

from agents.reporting import versus
from agents.reporting.comparison import COSTS, TEACHER, Entry, comparison_rows, gains_by_length
from textgen_env.metrics.statistics import paired_p_value, score_interval, wilson_interval

REFERENCES = [(" ".join("abcdefghij"[: 2 + i % 8]),) for i in range(40)]
RIGHT = [reference for (reference,) in REFERENCES]
WRONG = ["z" for _ in REFERENCES]


def entry(algorithm, texts, seed=0, student="gru"):
    results = {"student": {"parameters": 10}, "speed": {"speedup": 2.0 + seed}}
    results["cost"] = dict.fromkeys(COSTS, 6)
    return Entry(algorithm, student, seed, results, {1: texts, 5: texts})


def right(count):
    """Texts of which the first ``count`` are right."""
    return RIGHT[:count] + WRONG[count:]


def rows_by_algorithm(*entries, metric="accuracy"):
    return {row["algorithm"]: row for row in comparison_rows(entries, metric, REFERENCES)}


@pytest.mark.parametrize("metric", ["accuracy", "bleu", "rouge"])
def test_an_identical_system_gains_nothing(metric):
    rows = rows_by_algorithm(entry("mle", right(20)), entry("copy", right(20)), metric=metric)
    assert rows["copy"]["gain"] == 0
    assert rows["copy"]["p_mle"] == pytest.approx(1)
    assert rows["copy"]["p_seqkd"] is rows["mle"]["p_mle"] is None


@pytest.mark.parametrize("metric", ["accuracy", "bleu", "rouge"])
def test_a_far_better_system_gains_significantly(metric):
    entries = [entry("mle", WRONG), entry("seqkd", right(20)), entry("imitkd", RIGHT)]
    rows = rows_by_algorithm(*entries, metric=metric)
    assert rows["imitkd"]["gain"] > 99
    assert rows["imitkd"]["p_mle"] < 0.01
    assert rows["imitkd"]["p_seqkd"] < 0.01
    assert rows["seqkd"]["p_seqkd"] is None


def test_seeds_are_averaged_with_an_interval_over_seeds_and_sentences():
    runs = [entry("mle", right(n), seed) for seed, n in enumerate((20, 24))]
    row = rows_by_algorithm(*runs)["mle"]
    assert row["accuracy@1"] == pytest.approx(55)
    assert row["score_by_seed"] == pytest.approx([50, 60])
    interval = score_interval([50, 60], [wilson_interval(50, 40), wilson_interval(60, 40)])
    assert (row["accuracy@1_low"], row["accuracy@1_high"]) == pytest.approx(interval)
    assert (row["speedup"], row["speedup_low"], row["speedup_high"]) == (2.5, 2, 3)
    assert (row["seconds"], row["seeds"]) == (6, 2)


@pytest.mark.parametrize(
    ("steps", "improved", "stopped", "marked"),
    [(100, 91, "steps", 1), (100, 90, "steps", 0), (100, 100, "patience", 0), (7, 7, "steps", 1)],
)
def test_a_run_that_improves_in_its_last_tenth_is_unfinished(steps, improved, stopped, marked):
    run = entry("mle", RIGHT)
    run.results["training"] = {
        **{"steps": steps, "best_step": steps, "improved_step": improved, "stopped": stopped}
    }
    rows = comparison_rows([run, entry("mle", RIGHT, seed=1)], "accuracy", REFERENCES)
    assert rows[0]["unfinished"] == marked
    text = versus.markdown(rows, "title", ["note"])
    assert ("| mle (unfinished: 1 of 2) |" in text) == ("Unfinished: " in text) == bool(marked)


def test_rows_do_not_depend_on_the_order_of_the_runs():
    first, second = (entry("mle", right(n), seed) for seed, n in enumerate((20, 24)))
    other = entry("copy", RIGHT)
    in_order = rows_by_algorithm(first, second, other)
    assert rows_by_algorithm(first, other, second) == in_order


@pytest.mark.parametrize("metric", ["accuracy", "bleu", "rouge"])
@pytest.mark.parametrize("texts", [RIGHT, WRONG], ids=["all right", "all wrong"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_every_interval_has_a_width_and_stays_on_the_scale(metric, texts, seeds):
    runs = [entry("mle", texts, seed) for seed in range(seeds)]
    row = rows_by_algorithm(*runs, metric=metric)["mle"]
    names = [key.removesuffix("_low") for key in row if "@" in key and key.endswith("_low")]
    assert names
    for name in names:
        assert 0 <= row[f"{name}_low"] < row[f"{name}_high"] <= 100


def test_several_seeds_are_compared_by_a_t_test_over_seeds():
    before, after = (20, 22, 24), (22, 25, 27)
    runs = [entry("mle", right(n), seed) for seed, n in enumerate(before)]
    runs += [entry("imitkd", right(n), seed) for seed, n in enumerate(after)]
    row = rows_by_algorithm(*runs)["imitkd"]
    gains = [2.5 * (b - a) for a, b in zip(before, after, strict=True)]  # percent of 40 sentences
    assert row["gain"] == pytest.approx(sum(gains) / 3)
    assert row["p_mle"] == pytest.approx(paired_p_value(gains))


def test_the_teacher_has_no_gain():
    row = rows_by_algorithm(entry(TEACHER, RIGHT), entry("mle", WRONG))[TEACHER]
    assert row["gain"] is row["p_mle"] is row["p_seqkd"] is None
    assert row["accuracy@1"] == 100


def test_only_seeds_with_a_baseline_count_for_the_gain():
    runs = [entry("mle", right(10), seed) for seed in (0, 1)]
    runs += [entry("imitkd", RIGHT, seed) for seed in (1, 2)]
    row = rows_by_algorithm(*runs)["imitkd"]
    assert row["gain"] == pytest.approx(75)
    assert row["p_mle"] < 0.01  # with one pair of runs, over sentences


def test_gains_are_split_by_reference_length():
    long = [i for i, text in enumerate(RIGHT) if len(text.split()) > 5]
    texts = [RIGHT[i] if i in long else WRONG[i] for i in range(len(REFERENCES))]
    runs = [entry("mle", WRONG), entry("imitkd", texts)]
    points = gains_by_length(runs, "accuracy", REFERENCES, buckets=2)
    assert points.keys() == {("gru", "imitkd")}
    assert [[gain for _, gain in seed] for seed in points["gru", "imitkd"]] == [[0, 100]]


def test_gains_by_length_are_per_seed_and_exclude_the_teacher():
    runs = [entry(TEACHER, RIGHT)]
    for seed in (0, 1):
        runs += [entry("mle", WRONG, seed), entry("imitkd", right(20 * (seed + 1)), seed)]
    points = gains_by_length(runs, "accuracy", REFERENCES, buckets=1)
    assert points.keys() == {("gru", "imitkd")}
    assert [[gain for _, gain in seed] for seed in points["gru", "imitkd"]] == [[50], [100]]
