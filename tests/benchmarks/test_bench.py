"""The benchmark's runner, suites and table, and the command that runs them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

import bench
import cli
from benchmarks import runner
from benchmarks.material import Setup
from benchmarks.runner import Job, alternate, fastest, missing_packages, open_runners
from benchmarks.suites import beam, decode
from benchmarks.table import ratio, row
from support.commands import run
from textgen_env.errors import UserError

SETUP = Setup(vocabulary=60, width=16, tokens=72, threads=1)


def job(*rates: float) -> Job:
    """A job with these rates, one after another."""
    remaining = iter(rates)
    runner = SimpleNamespace(rate=lambda *_: next(remaining))
    return Job(runner, "work", {"amp": "float32"})


def test_the_warm_up_does_not_count():
    jobs = {"one": job(9.0, 1.0, 2.0), "two": job(9.0, 3.0, 4.0)}
    assert alternate(jobs, repeats=2) == {"one": [1, 2], "two": [3, 4]}


def test_the_fastest_job_has_the_highest_median_rate():
    jobs = [job(9.0, 3.0, 3.0), job(1.0, 4.0, 4.0)]
    assert fastest(jobs) is jobs[1]


RUNNERS = {"ours": None, "ctranslate2": None}


def test_only_available_contenders_are_configured():
    batched = {"rows": 64, "width": 1}
    assert set(decode.configurations(RUNNERS, ["2+2"], batched, threads=2)) == {
        *(("ours", "2+2"), ("ours", "gru")),
        *(("ctranslate2 float32", "2+2"), ("ctranslate2 int8", "2+2")),
    }


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("ours", 64, {(2, 1), (1, 2)}),
        ("ctranslate2 int8", 64, {(2, 1), (1, 2)}),
        ("ctranslate2 int8", 1, {(1, 1), (1, 2)}),
    ],
)
def test_every_contender_may_use_all_cores(name, rows, expected):
    work = {"rows": rows, "width": 1}
    jobs = decode.configurations(RUNNERS, ["2+2"], work, threads=2)[name, "2+2"]
    assert {(job.settings["workers"], job.threads) for job in jobs} == expected


def test_goals_belong_to_pairs_of_contenders():
    pairs = decode.comparisons(["2+2", "8+8"], 1, batched=True)
    goals = {(ours, theirs): goal for ours, theirs, goal in pairs}
    assert goals[("ours", "gru"), ("ours", "8+8")] == "≥ 8"
    assert goals[("ours", "2+2"), ("ctranslate2 float32", "2+2")] == "≥ 1"


def test_a_row_has_the_median_and_the_extremes():
    result = row("suite", "what", ratio([2.0, 9.0, 4.0], [2.0, 3.0, 2.0]))
    assert (result.median, result.low, result.high) == (2, 1, 3)
    assert "(1 to 3)" in str(result)


def test_contenders_with_a_missing_package_are_left_out(monkeypatch):
    monkeypatch.setattr(runner, "find_spec", lambda name: name != "transformers" or None)
    assert missing_packages() == {"huggingface": "transformers"}
    with open_runners(SETUP, "huggingface") as runners:
        assert not runners


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("suite=[trian]", "unknown suite 'trian'; did you mean 'train'?"),
        ("sizes=[3+3]", "unknown sizes '3+3'"),
        ("rounds=0", "rounds=0: expected a number from 1"),
    ],
)
def test_invalid_settings_raise_a_one_line_error(override, message):
    with pytest.raises(UserError) as error:
        bench.main(cli.read("bench", [override]))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_beam_suite_needs_a_run():
    with pytest.raises(UserError, match="suite=beam: give run=RUN"):
        next(beam.run_suite(SimpleNamespace(run=None), SETUP))


def test_all_excludes_the_suites_that_need_time_or_a_run():
    assert bench.chosen_suites(["all"]) == ["decode", "env", "onpolicy", "train"]
    assert bench.chosen_suites(["memory", "env"]) == ["env", "memory"]


@pytest.mark.slow
def test_the_command_saves_the_results_that_it_prints(tmp_path):
    overrides = ["suite=[env]", "rounds=1", "seconds=0", "vocabulary=60", "width=16", "episodes=4"]
    stderr = run("bench.py", *overrides, "threads=1", f"out={tmp_path}", cwd=tmp_path)
    results = json.loads((tmp_path / "bench.json").read_text())
    rows = results["rows"]
    assert {row["suite"] for row in rows} == {"machine", "env"}
    assert all(row["what"] in stderr for row in rows)
    assert all(row["low"] <= row["median"] <= row["high"] for row in rows)
    assert results["versions"].keys() >= {"torch", "transformers", "ctranslate2", "imitation"}
    assert results["machine"]["cores"] == 1
