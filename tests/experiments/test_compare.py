"""``compare.py``: which runs it accepts, what it reuses, and the files it writes."""

import csv
import json
import re

import pytest
from omegaconf import OmegaConf

import compare
from agents.reporting.comparison import OTHER_COSTS, Entry
from agents.runs import comparison
from cli import read
from support.commands import TINY, run
from textgen_env.errors import UserError


def compare_runs(own, overrides):
    """Run the command with its own settings and with overrides that it passes to each run."""
    config = read("compare", own)
    config.overrides = overrides
    compare.main(config)


def test_runs_with_different_teachers_are_rejected():
    runs = [
        Entry("mle", "gru", seed, {"teacher": {"path": path}}, {})
        for seed, path in enumerate(("one", "other"))
    ]
    comparison.shared_teacher(runs[:1])
    with pytest.raises(UserError, match="mle seed 0 had the teacher one, mle seed 1 other"):
        comparison.shared_teacher(runs)


@pytest.mark.parametrize(
    ("own", "override", "message"),
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
        # the upper bound is the size of the vocabulary
        ("beams=[1,50]", "env=Copy-v0", "beams=50: expected a number from 1 to "),
        ("beams=[50,1]", "env=Copy-v0", "beams=50: expected a number from 1 to "),
        ("seeds=[0]", "algorithm.bta=1", "algorithm.bta=1: none of these runs has such a key"),
        ("seeds=[0]", "trian.lr=1", "unknown key 'trian.lr'"),
    ],
)
def test_invalid_comparisons_are_rejected_before_any_training(own, override, message, tmp_path):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        compare_runs([own, f"out={tmp_path}"], [override])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("init", "listed"),
    [({}, ""), ({"scst": "mle-run"}, "scst"), ({"mle": "other", "imitkd": "other"}, "imitkd, mle")],
    ids=["none", "from mle's", "of init="],
)
def test_runs_that_start_from_a_trained_student_are_noted(init, listed):
    runs = {
        (name, "gru", 0): OmegaConf.create({"init": init.get(name)})
        for name in ("mle", "imitkd", "scst")
    }
    scores = {"teacher": {"signature": "s"}}
    results = {"corpus": {"name": "c", "source": "local"}, "scores": scores}
    notes = comparison.comparison_notes(runs, results, 10)
    listings = [note.partition(":")[0] for note in notes if "from a trained student" in note]
    assert listings == [listed] * bool(listed)


@pytest.fixture
def compare_with_finished(tmp_path, monkeypatch):
    """Run compare.py in a folder with one finished run, up to where it reopens that run.

    A call returns the error message and the arguments with which the run was reopened.
    """
    reopened = []

    def reopen(*arguments):
        reopened.append(arguments)
        raise UserError("reopened")

    monkeypatch.setattr(comparison, "load_student", reopen)
    folder = tmp_path / "mle-transformer-seed0"
    overrides = ["env=Copy-v0", "device=cpu", "precision=bf16"]
    folder.mkdir()
    (folder / "results.json").touch()
    config = read("dagger", [*overrides, "algorithm=mle", "evaluate.beam=2"])
    OmegaConf.save(config, folder / "config.yaml")

    def compare_again(beams, *more):
        own = ["algorithms=[mle]", f"beams={beams}", f"out={tmp_path}"]
        with pytest.raises(UserError) as error:
            compare_runs(own, [*overrides, *more])
        return str(error.value), reopened

    return compare_again


def test_a_finished_run_is_reopened_on_the_requested_device(compare_with_finished, tmp_path):
    message, reopened = compare_with_finished("[2,1]", "threads=1")
    assert message == "reopened"
    assert reopened == [(tmp_path / "mle-transformer-seed0", "cpu", "bf16")]


@pytest.mark.parametrize(
    ("beams", "override", "message"),
    [
        ("[2]", "evaluate.rows=4", "evaluate.rows=null there, 4 here"),
        ("[2]", "train.lr=1.0", "train.lr=0.003 there, 1.0 here"),
        ("[5,2]", "threads=1", "evaluate.beam=2 there, 5 here"),
    ],
)
def test_a_finished_run_with_other_settings_is_rejected(
    compare_with_finished, beams, override, message
):
    error, reopened = compare_with_finished(beams, override)
    assert f"config.yaml holds another run: {message}; choose another out=" in error
    assert not reopened


OVERRIDES = [
    *("env=Copy-v0", "env.train=300", "train.batch_tokens=64", *TINY, "train.steps=6"),
    *("train.validations=2", "out=c", "algorithms=[mle,imitkd]", "students=[transformer]"),
    *("seeds=[0,1]", "algorithm.rate=0.5"),
]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The working folder of a comparison that ran once."""
    folder = tmp_path_factory.mktemp("compared")
    run("compare.py", *OVERRIDES, cwd=folder)
    return folder


@pytest.mark.slow
def test_the_command_writes_tables_and_plots(compared):
    folder = compared / "c"
    with open(folder / "comparison.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["algorithm"] for row in rows] == ["teacher", "mle", "imitkd"]
    for row in rows:
        assert 0 <= float(row["accuracy@1_low"]) < float(row["accuracy@1_high"]) <= 100
    assert all(float(row[cost]) >= 0 for cost in OTHER_COSTS for row in rows[1:])
    content = json.loads((folder / "comparison.json").read_text())
    assert [row["seeds"] for row in content["rows"]] == [1, 2, 2]
    text = (folder / "comparison.md").read_text()
    assert "| teacher | exact | 1 | 100.0 [" in text
    assert "| imitkd | transformer | 2 |" in text
    for plot in ("scores", "gain_by_length", "score_by_seconds"):
        assert (folder / f"{plot}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_second_call_repeats_no_run(compared):
    results = compared / "c" / "mle-transformer-seed1" / "results.json"
    modified = results.stat().st_mtime_ns
    assert run("compare.py", *OVERRIDES, cwd=compared).count("finished before") == 4
    assert results.stat().st_mtime_ns == modified


@pytest.mark.slow
def test_speed_needs_a_teacher_that_decodes(compared):
    stderr = run("speed.py", "run=c/mle-transformer-seed0", cwd=compared, code=2)
    assert "its teacher (exact) does not decode" in stderr


TASK = """
from textgen_env.tasks import copy

class Short:
    PRESETS = {"quick": {"teacher": "exact", "train.steps": 2}}

    @staticmethod
    def load(symbols: int = 4):
        return copy.load(symbols=symbols, train=40, valid=5, test=20)
"""


@pytest.mark.slow
def test_a_task_from_outside_is_compared_but_never_imported_by_a_run_folder(tmp_path):
    (tmp_path / "own_task.py").write_text(TASK)
    words = ["env=own_task.Short", *TINY, "train.validations=1", "algorithms=[mle,imitkd]", "out=c"]
    run("compare.py", *words, "beams=[1]", cwd=tmp_path)
    assert "imitkd" in (tmp_path / "c" / "comparison.md").read_text()
    stderr = run("show.py", "run=c/mle-transformer-seed0", cwd=tmp_path, code=2)
    assert "was not named on the command line" in stderr
