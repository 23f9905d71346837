"""Several systems side by side: the arithmetic of the table, and the command that makes it."""

import csv
import json
import math
import re
import statistics

import pytest
from omegaconf import OmegaConf
from test_scripts import TINY, run

import compare
from agents.comparison import COSTS, Entry, _interval, gains_by_length, rows
from command_line import read
from textgen_env.errors import UserError

REFERENCES = [(" ".join("abcdefghij"[: 2 + i % 8]),) for i in range(40)]
RIGHT = [known[0] for known in REFERENCES]
WRONG = ["z" for _ in REFERENCES]


def entry(algorithm, texts, seed=0, student="gru"):
    results = {"student": {"parameters": 10}, "speed": {"speedup": 2.0 + seed}, "cost": dict.fromkeys(COSTS, 6)}
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
    found = table(entry("mle", WRONG), entry("seqkd", RIGHT[:20] + WRONG[20:]), entry("imitkd", RIGHT), metric=metric)
    assert found["imitkd"]["gain"] > 99
    assert found["imitkd"]["p_mle"] < 0.01
    assert found["imitkd"]["p_seqkd"] < 0.01
    assert found["seqkd"]["p_seqkd"] is None


def test_seeds_are_averaged_and_their_interval_is_students_t():
    runs = [entry("mle", RIGHT[:n] + WRONG[n:], seed) for seed, n in enumerate((20, 24))]
    row = table(*runs)["mle"]
    assert row["accuracy@1"] == pytest.approx(55)
    half = 12.706 * math.sqrt(2) * 5 / math.sqrt(2)  # t for one degree of freedom, s = √2 · 5
    assert (row["accuracy@1_low"], row["accuracy@1_high"]) == pytest.approx((55 - half, 55 + half))
    assert (row["speedup"], row["seconds"], row["seeds"]) == (2.5, 6, 2)
    assert table(runs[0], entry("copy", RIGHT), runs[1])["mle"] == row  # in whatever order they come


@pytest.mark.parametrize(("seeds", "quantile"), [(11, 2.228), (16, 2.131), (31, 2.042), (121, 1.980)])
def test_students_t_of_many_seeds(seeds, quantile):
    values = [float(i % 2) for i in range(seeds)]
    low, high = _interval(values, None, "accuracy", REFERENCES)
    assert (high - low) / 2 == pytest.approx(quantile * statistics.stdev(values) / math.sqrt(seeds), rel=1e-3)


def test_the_gain_is_told_by_length():
    long = [i for i, known in enumerate(REFERENCES) if len(known[0].split()) > 5]
    texts = [RIGHT[i] if i in long else WRONG[i] for i in range(len(REFERENCES))]
    points = gains_by_length([entry("mle", WRONG), entry("imitkd", texts)], "accuracy", REFERENCES, buckets=2)
    assert [gain for _, gain in points["gru", "imitkd"]] == [0, 100]
    assert points.keys() == {("gru", "imitkd")}


@pytest.mark.parametrize(
    ("own", "word", "message"),
    [
        ("seeds=[0]", "algorithm=bc", "algorithm=bc: here it is algorithms=[bc]"),
        ("seeds=[0]", "student=[gru,lstm]", "student=[gru,lstm]: here it is students=[gru,lstm]"),
        ("seeds=[0]", "seed=3", "seed=3: here it is seeds=[3]"),
        ("seeds=[0]", "evaluate.beam=5", "evaluate.beam=5: here it is beams=[5]"),
        ("seeds=[0]", "resume=true", "resume: leave it out; this command always goes on"),
    ],
)
def test_a_key_of_one_run_is_refused(own, word, message, tmp_path):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        compare.main(read("compare", [own, f"out={tmp_path}"]), [word])
    assert not list(tmp_path.iterdir())


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
    OmegaConf.save(read("dagger", [*words, "algorithm=mle", "evaluate.beam=2"]), folder / "config.yaml")

    def again(beams, *more):
        config = read("compare", ["algorithms=[mle]", f"beams={beams}", f"out={tmp_path}"])
        with pytest.raises(UserError) as error:
            compare.main(config, [*words, *more])
        return str(error.value), reopened

    return again


def test_a_finished_run_is_reopened_where_it_was_asked_for(finished, tmp_path):
    assert finished("[2,1]", "threads=1") == ("reopened", [(tmp_path / "mle-transformer-seed0", "cpu", "bf16")])


@pytest.mark.parametrize(
    ("beams", "word", "message"),
    [
        ("[2]", "evaluate.rows=4", "evaluate.rows=null there, 4 here"),
        ("[2]", "train.lr=1.0", "train.lr=0.003 there, 1.0 here"),
        ("[5,2]", "threads=1", "evaluate.beam=2 there, 5 here"),  # the teacher is judged as the students are
    ],
)
def test_a_finished_run_is_not_passed_off_as_another(finished, beams, word, message):
    said, reopened = finished(beams, word)
    assert f"config.yaml holds another run: {message}; choose another out=" in said
    assert not reopened


def test_the_command_compares_and_runs_nothing_twice(tmp_path):
    words = ["env=Copy-v0", "env.train=300", "train.batch_tokens=64", *TINY, "train.steps=6", "train.validations=2", "out=c"]
    words += ["algorithms=[mle,imitkd]", "students=[transformer]", "seeds=[0,1]", "algorithm.rate=0.5"]
    run("compare.py", *words, cwd=tmp_path)
    with open(tmp_path / "c" / "comparison.csv", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [row["algorithm"] for row in found] == ["mle", "imitkd"]
    assert json.loads((tmp_path / "c" / "comparison.json").read_text())["rows"][0]["seeds"] == 2
    assert "| imitkd | transformer |" in (tmp_path / "c" / "comparison.md").read_text()
    for figure in ("scores", "gain_by_length", "score_by_seconds"):
        assert (tmp_path / "c" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    made = (tmp_path / "c" / "mle-transformer-seed1" / "results.json").stat().st_mtime_ns
    said = run("compare.py", *words, cwd=tmp_path)
    assert said.count("finished before") == 4
    assert (tmp_path / "c" / "mle-transformer-seed1" / "results.json").stat().st_mtime_ns == made
    assert "algorithm.bta=1: none of these runs has such a key" in run(
        "compare.py", *words, "algorithm.bta=1", cwd=tmp_path, code=2
    )
    assert "unknown key 'trian.lr'" in run("compare.py", "env=Copy-v0", "out=d", "trian.lr=1", cwd=tmp_path, code=2)
    said = run("speed.py", "run=c/mle-transformer-seed0", cwd=tmp_path, code=2)
    assert "its teacher is exact, nothing that decodes" in said
