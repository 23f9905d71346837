"""``resume=true out=FOLDER`` alone continues a run; what may change is recorded; killed runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
from itertools import count
from pathlib import Path

import pytest

import cli
import dagger
from agents.algorithms.bc import BC
from agents.runs import folder as run_folder
from agents.training.learning_rate import learning_rate
from support.cases import others_slow
from support.commands import SEQKD, TINY_RUN, run_in_process
from support.training import metrics_rows
from textgen_env.data import files
from textgen_env.errors import UserError

COPY = ["env=Copy-v0", "env.train=200", *TINY_RUN, "algorithm=bc"]
ALONE = ["out=run", "resume=true"]


@pytest.fixture
def copy_run(runs, tmp_path, monkeypatch, without_report) -> Path:
    """A copy of a finished run of six steps, ``run`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(runs["bc"], tmp_path / "run"))


# --- the settings of the folder


def read(*overrides):
    return cli.read_given("dagger", [*ALONE, *overrides])


def change(old, new):
    path = Path("run/config.yaml")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def test_every_setting_comes_from_the_folder(copy_run):
    config = read()
    assert (config.env.name, config.algorithm.name, config.student.width) == ("Copy-v0", "bc", 16)
    assert (config.train.steps, config.out, config.resume) == (6, "run", True)
    assert read("train.lr=0.5", "env=Copy-v0").train.lr == 0.5
    assert read("train.lr=0.5").train.batch_tokens == config.train.batch_tokens


REFUSED = {
    "another student": (["student=gru"], "student=transformer there, gru here"),
    "unknown key": (["train.step=9"], "unknown key 'train.step'; did you mean 'train.steps'?"),
    "out of range": (["train.lr=-1"], "train.lr=-1.0: expected a number "),
    "idle key": (["reward=bleu"], "reward does not apply: algorithm=bc uses no reward"),
}


@pytest.mark.parametrize(("overrides", "message"), others_slow(REFUSED, "unknown key"))
def test_overrides_are_checked(copy_run, overrides, message):
    with pytest.raises(UserError) as error:
        read(*overrides)
    assert message in str(error.value)


@pytest.mark.parametrize("key", others_slow(["seed=3", "train.batch_tokens=64", "env.train=100"]))
def test_what_may_not_change_is_refused_by_name(copy_run, key):
    config = read(key)
    with pytest.raises(
        UserError, match=rf"run/config\.yaml holds another run: {key.split('=')[0]}="
    ):
        dagger.main(config)


def test_there_is_no_run_to_continue(tmp_path):
    with pytest.raises(UserError, match=r"^resume=true: name the folder of the run with out=$"):
        cli.read_given("dagger", ["resume=true"])
    with pytest.raises(UserError, match=r"^resume=true: there is no run in "):
        cli.read_given("dagger", ["resume=true", f"out={tmp_path}"])
    with pytest.raises(UserError, match=r"^unknown resume 'maybe'.*auto, false, true"):
        cli.read_given("dagger", ["resume=maybe"])


OUTSIDE = {
    "algorithm": ("name: bc", "name: outside.Algorithm", "algorithm=outside.Algorithm"),
    "env": ("name: Copy-v0", "name: outside:task", "env=outside:task"),
    "reward": ("reward: null", "reward: outside.reward", "reward=outside.reward"),
    "student": (
        "student:\n  name: transformer",
        "student:\n  name: outside.P",
        "student=outside.P",
    ),
    "model on the hub": ("path: null", "path: hf:outside/model", "teacher.path=hf:outside/model"),
}


@pytest.mark.parametrize(("old", "new", "word"), others_slow(OUTSIDE))
def test_code_that_a_folder_names_has_to_be_repeated(copy_run, old, new, word):
    Path("outside.py").write_text("raise SystemExit('it ran')\n")
    change(old, new)
    with pytest.raises(UserError) as error:
        read()
    assert str(error.value).startswith("run/config.yaml")
    assert f"repeat {word} on the command line" in str(error.value)


def test_repeated_code_is_imported(copy_run):
    Path("repeated.py").write_text("from agents.algorithms.bc import BC as Own\n")
    change("name: bc", "name: repeated.Own")
    assert read("algorithm=repeated.Own").algorithm.name == "repeated.Own"


# --- longer


def test_longer_training_is_recorded_and_follows_the_new_schedule(copy_run):
    before = metrics_rows(Path("run"))
    run_in_process(dagger, *ALONE, "train.steps=12", "train.lr=0.01")
    rows = metrics_rows(Path("run"))
    assert rows[: len(before)] == before
    schedule = learning_rate("linear", 40, 12)
    later = {row["step"]: row["lr"] for row in rows[len(before) :]}
    assert later == {step: pytest.approx(0.01 * schedule(step - 1)) for step in range(7, 13)}
    changes = [
        {"step": 6, "key": "train.lr", "before": 0.003, "after": 0.01},
        {"step": 6, "key": "train.steps", "before": 6, "after": 12},
    ]
    assert json.loads(Path("run/results.json").read_text())["changes"] == changes
    assert Path("run/results-6.json").is_file()
    with pytest.raises(UserError, match=r"train\.steps=6: the run in run has done 12 steps"):
        dagger.main(read("train.steps=6"))


def test_auto_starts_a_run_and_then_continues_it(empty_workspace):
    auto = [*COPY, "out=run", "resume=auto"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dagger, "generate_outputs", interrupt)
        run_in_process(dagger, *auto, code=130)
    trained = metrics_rows(Path("run"))
    run_in_process(dagger, *auto)
    assert metrics_rows(Path("run")) == trained
    assert Path("run/results.json").is_file()


def interrupt(*_):
    raise KeyboardInterrupt


# --- killed before the first checkpoint


def killed(patch, owner, name, calls=1):
    """The process is killed in call number ``calls`` of a function."""
    function, number = getattr(owner, name), count(1)

    def wrapper(*args, **settings):
        if next(number) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **settings)

    patch.setattr(owner, name, wrapper)


def run_killed(*overrides, at):
    """Run the command in a forked process that is killed."""
    child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            killed(patch, *at)
            run_in_process(dagger, *overrides)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


KILLS = {
    "while it writes config.yaml": (os, "replace"),
    "before the teacher": (dagger, "find_teacher"),
    "before the first validation": (BC, "loss", 5),
}


@pytest.mark.parametrize("out", others_slow({"named": ["out=run"], "default": []}))
@pytest.mark.parametrize("at", others_slow({name: (at,) for name, at in KILLS.items()}))
def test_killed_run_is_repeated_by_the_same_command(empty_workspace, at, out):
    run_killed(*COPY, *out, at=at)
    (folder,) = (path for path in (Path("run"), *Path().glob("runs/*")) if path.is_dir())
    assert not (folder / "results.json").exists()
    run_in_process(dagger, *COPY, *out)
    assert (folder / "results.json").is_file()
    assert len([*Path().glob("runs/*")]) == len(out) ^ 1
    assert not [path for path in folder.rglob("*") if files.is_temporary(path)]


@pytest.mark.slow
def test_run_killed_in_its_teachers_training_is_repeated(empty_workspace, finished, scores):
    run_killed(*SEQKD, at=(BC, "loss", 3))
    assert not run_folder.has_content(Path("run"))
    run_in_process(dagger, *SEQKD)
    assert scores("run") == scores(finished / "run")
