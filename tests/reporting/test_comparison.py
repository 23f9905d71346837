"""Several systems side by side: the arithmetic of the table, and the command that makes it."""

import csv
import json
import re

import pytest
from omegaconf import OmegaConf

import compare
from agents.reporting.comparison import COSTS, OTHER_COSTS, TEACHER, Entry, gains_by_length, rows
from cli import read
from support.commands import TINY, run
from textgen_env.errors import UserError
from textgen_env.metrics.statistics import paired_p_value, score_interval, wilson_interval

REFERENCES = [(" ".join("abcdefghij"[: 2 + i % 8]),) for i in range(40)]
RIGHT = [known[0] for known in REFERENCES]
WRONG = ["z" for _ in REFERENCES]


def entry(algorithm, texts, seed=0, student="gru"):
    results = {
        "student": {"parameters": 10},
        "speed": {"speedup": 2.0 + seed},
        "cost": dict.fromkeys(COSTS, 6),
    }
    return Entry(algorithm, student, seed, results, {1: texts, 5: texts})


def table(*entries, metric="accuracy"):
    return {row["algorithm"]: row for row in rows(entries, metric, REFERENCES)}


@pytest.mark.parametrize("metric", ["accuracy", "bleu", "rouge"])
def test_a_system_against_itself_gains_nothing(metric):
    half = RIGHT[:20] + WRONG[20:]
    found = table(entry("mle", half), entry("copy", half), metric=metric)
    assert found["copy"]["gain"] == 0
    assert found["copy"]["p_mle"] == pytest.approx(1)
    assert found["copy"]["p_seqkd"] is found["mle"]["p_mle"] is None


@pytest.mark.parametrize("metric", ["accuracy", "bleu", "rouge"])
def test_a_better_system_is_seen_to_be_better(metric):
    found = table(
        entry("mle", WRONG),
        entry("seqkd", RIGHT[:20] + WRONG[20:]),
        entry("imitkd", RIGHT),
        metric=metric,
    )
    assert found["imitkd"]["gain"] > 99
    assert found["imitkd"]["p_mle"] < 0.01
    assert found["imitkd"]["p_seqkd"] < 0.01
    assert found["seqkd"]["p_seqkd"] is None


def right(count):
    return RIGHT[:count] + WRONG[count:]


def test_seeds_are_averaged_and_their_interval_is_that_over_seeds_and_sentences():
    runs = [entry("mle", right(n), seed) for seed, n in enumerate((20, 24))]
    row = table(*runs)["mle"]
    assert row["accuracy@1"] == pytest.approx(55)
    assert row["score_by_seed"] == pytest.approx([50, 60])
    expected = score_interval([50, 60], [wilson_interval(50, 40), wilson_interval(60, 40)])
    assert (row["accuracy@1_low"], row["accuracy@1_high"]) == pytest.approx(expected)
    assert (row["speedup"], row["speedup_low"], row["speedup_high"]) == (2.5, 2, 3)
    assert (row["seconds"], row["seeds"]) == (6, 2)
    assert (
        table(runs[0], entry("copy", RIGHT), runs[1])["mle"] == row
    )  # in whatever order they come


@pytest.mark.parametrize("metric", ["accuracy", "bleu", "rouge"])
@pytest.mark.parametrize("texts", [RIGHT, WRONG], ids=["all right", "all wrong"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_no_interval_leaves_the_scale_or_has_no_width(metric, texts, seeds):
    row = table(*(entry("mle", texts, seed) for seed in range(seeds)), metric=metric)["mle"]
    for name in [
        name.removesuffix("_low") for name in row if "@" in name and name.endswith("_low")
    ]:
        assert 0 <= row[f"{name}_low"] < row[f"{name}_high"] <= 100


def test_several_seeds_are_tested_over_seeds():
    before, after = (20, 22, 24), (22, 25, 27)
    runs = [entry("mle", right(n), seed) for seed, n in enumerate(before)]
    runs += [entry("imitkd", right(n), seed) for seed, n in enumerate(after)]
    row = table(*runs)["imitkd"]
    gains = [2.5 * (b - a) for a, b in zip(before, after, strict=True)]  # percent of 40 sentences
    assert row["gain"] == pytest.approx(sum(gains) / 3)
    assert row["p_mle"] == pytest.approx(paired_p_value(gains))


def test_the_teacher_is_no_student_that_gains():
    row = table(entry(TEACHER, RIGHT), entry("mle", WRONG))[
        TEACHER
    ]  # of the architecture that the student has
    assert row["gain"] is row["p_mle"] is row["p_seqkd"] is None
    assert row["accuracy@1"] == 100


def test_seeds_without_a_partner_are_not_compared():
    runs = [entry("mle", right(10), seed) for seed in (0, 1)] + [
        entry("imitkd", RIGHT, seed) for seed in (1, 2)
    ]
    row = table(*runs)["imitkd"]
    assert row["gain"] == pytest.approx(75)
    assert row["p_mle"] < 0.01  # one pair: over sentences


def test_the_gain_is_told_by_length():
    long = [i for i, known in enumerate(REFERENCES) if len(known[0].split()) > 5]
    texts = [RIGHT[i] if i in long else WRONG[i] for i in range(len(REFERENCES))]
    points = gains_by_length(
        [entry("mle", WRONG), entry("imitkd", texts)], "accuracy", REFERENCES, buckets=2
    )
    assert [[gain for _, gain in seed] for seed in points["gru", "imitkd"]] == [[0, 100]]
    assert points.keys() == {("gru", "imitkd")}


def test_every_seed_has_its_gains_and_the_teacher_none():
    runs = [
        entry(name, texts, seed)
        for seed in (0, 1)
        for name, texts in (("mle", WRONG), ("imitkd", right(20 * (seed + 1))))
    ]
    points = gains_by_length([entry(TEACHER, RIGHT), *runs], "accuracy", REFERENCES, buckets=1)
    assert [[gain for _, gain in seed] for seed in points["gru", "imitkd"]] == [[50], [100]]
    assert points.keys() == {("gru", "imitkd")}


def test_runs_of_different_teachers_are_not_compared():
    runs = [entry("mle", RIGHT, seed) for seed in (0, 1)]
    for made, path in zip(runs, ("one", "other"), strict=True):
        made.results["teacher"] = {"path": path}
    compare.shared_teacher(runs[:1])
    with pytest.raises(UserError, match="mle seed 0 had the teacher one, mle seed 1 other"):
        compare.shared_teacher(runs)


@pytest.mark.parametrize(
    ("own", "word", "message"),
    [
        ("seeds=[0]", "algorithm=bc", "algorithm=bc: here it is algorithms=[bc]"),
        ("seeds=[0]", "student=[gru,lstm]", "student=[gru,lstm]: here it is students=[gru,lstm]"),
        ("seeds=[0]", "seed=3", "seed=3: here it is seeds=[3]"),
        ("seeds=[0]", "evaluate.beam=5", "evaluate.beam=5: here it is beams=[5]"),
        (
            "seeds=[0]",
            "evaluate.length_penalty=0.6",
            "evaluate.length_penalty=0.6: here it is length_penalty=0.6",
        ),
        ("seeds=[0]", "resume=true", "resume: leave it out; this command always resumes"),
        ("seeds=[0,1,0]", "env=Copy-v0", "seeds: 0 is given 2 times; give it once"),
        ("algorithms=[mle,mle]", "env=Copy-v0", "algorithms: mle is given 2 times; give it once"),
        ("students=[rnn,rnn,rnn]", "env=Copy-v0", "students: rnn is given 3 times; give it once"),
        ("beams=[5,5]", "env=Copy-v0", "beams: 5 is given 2 times; give it once"),
        (
            "beams=[1,50]",
            "env=Copy-v0",
            "beams=50: a number of at least 1 and at most ",
        ),  # of its vocabulary
        ("beams=[50,1]", "env=Copy-v0", "beams=50: a number of at least 1 and at most "),
    ],
)
def test_what_no_comparison_can_do_is_refused_before_the_first_training(
    own, word, message, tmp_path
):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        compare.main(read("compare", [own, f"out={tmp_path}"]), [word])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("init", "listed"),
    [({}, ""), ({"scst": "mle-run"}, "scst"), ({"mle": "other", "imitkd": "other"}, "imitkd, mle")],
    ids=["none", "from mle's", "of init="],
)
def test_every_run_of_a_trained_student_is_noted(init, listed):
    runs = {
        (name, "gru", 0): OmegaConf.create({"init": init.get(name)})
        for name in ("mle", "imitkd", "scst")
    }
    results = {
        "corpus": {"name": "c", "source": "local"},
        "scores": {"teacher": {"signature": "s"}},
    }
    noted = [note for note in compare.notes(runs, results, 10) if "from a trained student" in note]
    assert [note.partition(":")[0] for note in noted] == [listed] * bool(listed)


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Compares in a folder whose only run is said to be finished, up to where that is read; what it is reopened with."""
    reopened = []

    def reopen(*asked):
        reopened.append(asked)
        raise UserError("reopened")

    monkeypatch.setattr(compare, "reopen_student", reopen)
    folder = tmp_path / "mle-transformer-seed0"
    words = ["env=Copy-v0", "device=cpu", "precision=bf16"]
    folder.mkdir()
    (folder / "results.json").touch()
    OmegaConf.save(
        read("dagger", [*words, "algorithm=mle", "evaluate.beam=2"]), folder / "config.yaml"
    )

    def again(beams, *more):
        config = read("compare", ["algorithms=[mle]", f"beams={beams}", f"out={tmp_path}"])
        with pytest.raises(UserError) as error:
            compare.main(config, [*words, *more])
        return str(error.value), reopened

    return again


def test_a_finished_run_is_reopened_where_it_was_asked_for(finished, tmp_path):
    assert finished("[2,1]", "threads=1") == (
        "reopened",
        [(tmp_path / "mle-transformer-seed0", "cpu", "bf16")],
    )


@pytest.mark.parametrize(
    ("beams", "word", "message"),
    [
        ("[2]", "evaluate.rows=4", "evaluate.rows=null there, 4 here"),
        ("[2]", "train.lr=1.0", "train.lr=0.003 there, 1.0 here"),
        (
            "[5,2]",
            "threads=1",
            "evaluate.beam=2 there, 5 here",
        ),  # the teacher is evaluated as the students are
    ],
)
def test_a_finished_run_is_not_passed_off_as_another(finished, beams, word, message):
    said, reopened = finished(beams, word)
    assert f"config.yaml holds another run: {message}; choose another out=" in said
    assert not reopened


def test_the_command_compares_and_runs_nothing_twice(tmp_path):
    words = [
        "env=Copy-v0",
        "env.train=300",
        "train.batch_tokens=64",
        *TINY,
        "train.steps=6",
        "train.validations=2",
        "out=c",
    ]
    words += [
        "algorithms=[mle,imitkd]",
        "students=[transformer]",
        "seeds=[0,1]",
        "algorithm.rate=0.5",
    ]
    run("compare.py", *words, cwd=tmp_path)
    with open(tmp_path / "c" / "comparison.csv", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [row["algorithm"] for row in found] == ["teacher", "mle", "imitkd"]
    assert all(
        0 <= float(row["accuracy@1_low"]) < float(row["accuracy@1_high"]) <= 100 for row in found
    )
    assert [
        row["seeds"] for row in json.loads((tmp_path / "c" / "comparison.json").read_text())["rows"]
    ] == [1, 2, 2]
    assert all(float(row[cost]) >= 0 for cost in OTHER_COSTS for row in found[1:])
    text = (tmp_path / "c" / "comparison.md").read_text()
    assert "| teacher | exact | 1 | 100.0 [" in text
    assert "| imitkd | transformer | 2 |" in text
    for figure in ("scores", "gain_by_length", "score_by_seconds"):
        assert (tmp_path / "c" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    made = (tmp_path / "c" / "mle-transformer-seed1" / "results.json").stat().st_mtime_ns
    said = run("compare.py", *words, cwd=tmp_path)
    assert said.count("finished before") == 4
    assert (tmp_path / "c" / "mle-transformer-seed1" / "results.json").stat().st_mtime_ns == made
    assert "algorithm.bta=1: none of these runs has such a key" in run(
        "compare.py", *words, "algorithm.bta=1", cwd=tmp_path, code=2
    )
    assert "unknown key 'trian.lr'" in run(
        "compare.py", "env=Copy-v0", "out=d", "trian.lr=1", cwd=tmp_path, code=2
    )
    said = run("speed.py", "run=c/mle-transformer-seed0", cwd=tmp_path, code=2)
    assert "its teacher is exact, nothing that decodes" in said
