"""Commands on finished runs, and mistakes that they report before any work."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from matplotlib.image import imread

import cli
import dagger
import exposure_bias
import show
import speed
from agents.runs.loading import load_run
from benchmarks.suites import beam
from support.commands import CPU, TINY_RUN, run_in_process
from textgen_env.errors import UserError


def test_exposure_bias_reports_two_runs(runs, tmp_path):
    folder = tmp_path / "bias"
    output = run_in_process(
        exposure_bias,
        f"run=[{runs['bc']},{runs['imitkd']}]",
        *("rows=60", "resamples=20", "corrupt_at=1", "corrupt=1", *CPU, f"out={folder}"),
    )
    assert "imitkd" in output
    assert "CPU threads" in output
    results = json.loads((folder / "exposure_bias.json").read_text())
    assert list(results["runs"]) == ["bc", "imitkd"]
    assert {run["sentences"] for run in results["runs"].values()} == {60}
    assert imread(folder / "exposure_bias.png").shape[:2] == (1080, 1920)


def test_show_prints_a_sentence_and_writes_its_page(runs):
    output = run_in_process(show, f"run={runs['text']}", "sentence=3", *CPU)
    page = runs["text"] / "sentence-test-3.html"
    assert f"page: {page}" in output
    source = load_run(runs["text"], "cpu").task.splits["test"].texts.sources[3]
    assert source.split()[0] in output
    assert page.read_text().count('class="step') > 0


@pytest.mark.parametrize(
    ("script", "overrides", "message"),
    [
        (exposure_bias, [], "give at least one finished run folder: run=[RUN]"),
        (exposure_bias, ["run=[bc,text]"], "differ in corpus, vocabulary, limits or teacher"),
        (exposure_bias, ["run=[bc]", "split=tset"], "unknown split 'tset'; did you mean 'test'?"),
        (show, [], "give run=RUN, a finished run folder"),
        (show, ["run=missing"], "no run folder at missing"),
        (show, ["run=bc", "run=imitkd"], "run is given 2 times; give it once"),
        (show, ["run=bc", "sentence=200"], "sentence=200: test has sentences 0 to 199"),
        (show, ["run=bc", "sentence=-1"], "sentence=-1: "),
        (show, ["run=bc", "sentence=first"], "sentence=first: "),
        (speed, ["run=text", "beams=[1,500]"], "beams=500: "),
    ],
)
def test_mistake_gives_a_one_line_error(script, overrides, message, runs, monkeypatch):
    monkeypatch.chdir(runs["bc"].parent)
    output = run_in_process(script, *overrides, code=2)
    assert message in output.split("error: ")[1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["reward=blue", "algorithm=reinforce", "algorithm.cold_start=true"],
            "unknown reward 'blue'; did you mean 'bleu'?",
        ),
        (["train.schedule=cosine"], "unknown learning-rate schedule 'cosine'"),
        (
            ["teacher=transformer", "teacher.train.schedule=cosine"],
            "unknown learning-rate schedule 'cosine'",
        ),
        (["algorithm.beta=always"], "unknown beta schedule 'always'"),
        (
            ["algorithm.demonstrations=teachers"],
            "unknown demonstrations 'teachers'; did you mean 'teacher'?",
        ),
        (["algorithm=scst"], "algorithm=scst improves a student that can already generate"),
    ],
)
def test_invalid_setting_is_reported_before_the_teachers_training(
    overrides, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(dagger, "find_teacher", None)
    folder = tmp_path / "run"
    config = cli.read("dagger", ["env=Copy-v0", "env.train=20", f"out={folder}", *overrides])
    with pytest.raises(UserError, match=re.escape(message)):
        dagger.main(config)
    assert not folder.exists()


def test_benchmark_compares_beam_search_with_ctranslate2(tmp_path):
    pytest.importorskip("ctranslate2")
    tiny = [override for override in TINY_RUN if not override.startswith("train.steps")]
    overrides = [
        *("env=Copy-v0", "env.train=200", "algorithm=bc", *tiny, f"out={tmp_path / 'run'}"),
        *("train.steps=150", "train.lr=0.01", "train.warmup=10"),
    ]
    dagger.main(cli.read("dagger", overrides))
    rows = list(beam.run_suite(SimpleNamespace(run=str(tmp_path / "run"), rows=12), None))
    names = {row.what for row in rows}
    assert names >= {"beam 1, length penalty 0.0: ours", "beam 5, length penalty 1.0: ours"}
    # With beam 5, such a student gives PAD and BOS probability, see the suite.
    greedy = [row for row in rows if row.what.startswith("beam 1") and ": equal of " in row.what]
    assert greedy
    assert all(row.low == 100 for row in greedy)
