"""One of each kind of plug-in, from a file outside the project, through the commands."""

import importlib
import json
import sys

import gymnasium as gym
import pytest

import compare
import dagger
from cli import read
from support.commands import ROOT, run_in_process
from support.commands import run as run_command
from textgen_env.errors import UserError

PLUGINS = """
from agents.algorithms.bc import BC
from textgen_env.tasks import copy
from textgen_env.tasks.task import expert

class Short:
    PRESETS = {"quick": {"teacher": "exact", "train.steps": 2, "train.validations": 1}}

    @staticmethod
    def load(symbols: int = 4):
        return copy.load(symbols=symbols, max_length=4, horizon=6, train=30, valid=5, test=8)

class Slow(BC):
    def __init__(self, policy, reward, rate: float = 0.5):
        super().__init__(policy)
        self.reward, self.rate = reward, rate

def length(task, split, index, action, ended):
    return float(len(action)) if ended else 0.0

def first_letter(text, references):
    return 100.0 * (text[:1] == references[0][:1])

def no_percentage(text, references):
    return "good"

class Log:
    calls = []

    def __init__(self, folder, phase, start):
        self.calls.append((folder.name, phase, start))

    def log(self, step, metrics):
        self.calls.append((step, sorted(metrics)))

    def close(self):
        self.calls.append("closed")

class NoLog:
    def __init__(self, folder, phase, start): pass
"""
STUDENT = "bag_of_words.BagOfWords"
COMMAND = [
    *(
        "env=own_plugins.Short",
        f"student={STUDENT}",
        "student.width=8",
        "reward=own_plugins.length",
    ),
    *("metric=own_plugins.first_letter", "logger=[tensorboard,own_plugins.Log]", "device=cpu"),
    *("train.batch_tokens=64", "evaluate.speed_rows=4", "workers=1", "threads=1"),
]
IMPORTS = f"imports=[{STUDENT}]"


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """The working directory of a user with a file of plug-ins."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "own_plugins.py").write_text(PLUGINS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path, str(folder), str(ROOT / "docs" / "examples")])
        yield folder


@pytest.fixture(scope="module")
def run(folder):
    """A finished run whose parts are all from outside."""
    run_in_process(dagger, *COMMAND, "algorithm=own_plugins.Slow", "algorithm.rate=0.1", "out=run")
    return folder / "run"


def test_every_kind_of_plug_in_takes_part_in_a_run(run):
    Log = importlib.import_module("own_plugins").Log

    results = json.loads((run / "results.json").read_text())
    assert results["algorithm"] == "own_plugins.Slow"
    assert results["student"]["architecture"] == STUDENT
    score = results["scores"]["student"]
    assert "first_letter" in score
    assert "own_plugins.first_letter" in score["signature"]
    assert Log.calls[0] == ("run", "student", 0)
    assert any("valid_first_letter" in call[1] for call in Log.calls[1:-1])
    assert Log.calls[-1] == "closed"
    assert list((run / "tensorboard").iterdir())


@pytest.mark.slow
def test_a_run_folder_imports_nothing_that_the_command_does_not_name(run, folder):
    (folder / "input.txt").write_text("a b\n")
    place = {"cwd": folder, "path": [ROOT / "docs" / "examples"]}
    words = ["run=run", "input=input.txt", "output=output.txt", "device=cpu"]
    message = run_command("generate.py", *words, **place, code=2)
    assert f"its policy {STUDENT} is not part of this project" in " ".join(message.split())
    run_command("generate.py", *words, IMPORTS, **place)
    assert (folder / "output.txt").read_text().count("\n") == 1


def test_settings_of_outside_parts_are_compared(folder):
    words = [word for word in COMMAND if not word.startswith(("student", "logger"))]
    lists = [
        "algorithms=[mle,{name: own_plugins.Slow, rate: 0.2}]",
        f"students=[{{name: {STUDENT}, width: 8}}]",
    ]
    run_in_process(compare, *words, "logger=[]", *lists, "beams=[1]", "out=compared")
    rows = json.loads((folder / "compared" / "comparison.json").read_text())["rows"]
    assert [row["algorithm"] for row in rows] == ["teacher", "mle", "own_plugins.Slow(rate=0.2)"]
    assert rows[-1]["student"] == f"{STUDENT}(width=8)"
    names = {path.name for path in (folder / "compared").iterdir() if path.is_dir()}
    assert f"own_plugins.Slow_rate_0.2-{STUDENT}_width_8-seed0" in names
    assert not list((folder / "compared").rglob("tensorboard"))


def test_the_environment_takes_dotted_paths():
    env = gym.make(
        "textgen_env:Copy-v0",
        reward="own_plugins.length",
        metric="own_plugins.first_letter",
        oracle="own_plugins.expert",
    ).unwrapped
    env.reset(seed=0, options={"index": 0})
    ended, rewards, info = False, [], {}
    while not ended:
        _, reward, terminated, truncated, info = env.step(4)
        ended = terminated or truncated
        rewards.append(reward)
    assert rewards[-1] == len(rewards)
    assert info["first_letter"] in (0.0, 100.0)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("metric=own_plugins.nothing", "cannot import metric 'own_plugins.nothing'"),
        ("metric=blue", "unknown metric 'blue'; did you mean 'bleu'?"),
        ("metric=own_plugins.no_percentage", "returns 'good'; give a number from 0 to 100"),
        ("logger=[own_plugins.NoLog]", "logger=own_plugins.NoLog has no log(); see"),
        ("logger=[own_plugins.length]", "is not called with (folder, phase, start)"),
        ("logger=[tensorbord]", "unknown logger 'tensorbord'; did you mean 'tensorboard'?"),
        ("imports=[own_plugins.nothing]", "cannot import class 'own_plugins.nothing'"),
    ],
)
def test_a_mistake_is_one_line(word, message, tmp_path):
    given = [other for other in COMMAND if other.partition("=")[0] != word.partition("=")[0]]
    with pytest.raises(UserError) as error:
        dagger.main(read("dagger", [*given, word, "algorithm=bc", f"out={tmp_path / 'run'}"]))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("package", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_refused_in_one_line(package, tmp_path, monkeypatch):
    monkeypatch.setattr("agents.training.writers.find_spec", lambda name: None)
    given = [word for word in COMMAND if not word.startswith("logger")]
    with pytest.raises(UserError, match=f"logger={package} needs {package}: python -m pip install"):
        dagger.main(read("dagger", [*given, f"logger=[{package}]", f"out={tmp_path / 'run'}"]))
