"""How long a run trains: epochs, which count batches, and early stopping."""

import json

import pytest
from omegaconf import OmegaConf

import agents
import dagger
from agents.runs.config import training_steps
from agents.runs.results import read_results
from cli import read
from support.learners import make, small_policy
from support.training import equal_tensors, metrics_rows
from textgen_env.data.batching import Batches

TINY = [
    *("env=Copy-v0", "env.train=40", "env.valid=10", "env.test=10", "train.validation_rows=4"),
    *("student.width=8", "student.heads=1", "student.ffn=8", "train.batch_tokens=256"),
    *("threads=1", "precision=float32"),
]


@pytest.mark.parametrize(
    ("algorithm", "settings", "updates_per_batch"),
    [
        ("mle", {}, 1),
        ("imitkd", {"group": 4}, 1),
        ("ppo", {"epochs": 3}, 3),
        ("dagger_aggregate", {"every": 2}, 2),
    ],
)
def test_epochs_count_batches(task, algorithm, settings, updates_per_batch):
    batches = Batches(task.splits["train"], 100, 0, task.limit)
    algorithm = make(algorithm, task, small_policy(task), **settings)
    for epochs, passes in ((3, 3), (0.5, 0.5)):
        steps = training_steps(OmegaConf.create({"epochs": epochs}), batches, algorithm)
        assert steps == round(passes * batches.per_epoch * updates_per_batch)
    assert training_steps(OmegaConf.create({"epochs": 1e-9}), batches, algorithm) == 1
    assert training_steps(OmegaConf.create({"epochs": None, "steps": 7}), batches, algorithm) == 7


def test_a_run_of_epochs_stops_early_and_its_results_say_so(tmp_path):
    words = ["algorithm=ppo", "algorithm.cold_start=true", "algorithm.epochs=2", "train.epochs=12"]
    words += ["train.lr=1e-9", "train.patience=2", "train.validations=12", "train.accumulate=2"]
    dagger.main(read("dagger", [*TINY, *words, f"out={tmp_path / 'run'}"]))
    training = read_results(tmp_path / "run" / "results.json")["training"]
    rows = [row for row in metrics_rows(tmp_path / "run") if "valid_loss" in row]
    assert training["stopped"] == "patience"
    assert [row["validations_without_improvement"] for row in rows] == [0, 1, 2]
    assert training["steps"] == 3 * training["improved_step"] == rows[-1]["step"]


@pytest.mark.parametrize("algorithm", ["mle", "scst"])
def test_a_run_that_starts_from_another_validates_its_start(tmp_path, algorithm):
    first, second = tmp_path / "first", tmp_path / "second"
    words = [*TINY, "train.steps=2", "train.validations=1"]
    dagger.main(read("dagger", [*words, "algorithm=mle", f"out={first}"]))
    words += [f"algorithm={algorithm}", f"init={first}", f"out={second}"]
    dagger.main(read("dagger", words))
    rows = metrics_rows(second)
    assert [row["step"] for row in rows if "valid_loss" in row] == [0, 2]
    before = metrics_rows(first)[-1]
    assert rows[0]["valid_loss"] == pytest.approx(before["valid_loss"])
    assert json.loads((second / "results.json").read_text())["training"]["steps"] == 2


def test_epochs_in_python_count_batches_too(task):
    quick = {"batch_tokens": 128, "validations": 1, "precision": "float32", "log": False}
    per_epoch = Batches(task.splits["train"], 128, 0, task.limit).per_epoch
    by_epochs, by_steps = (
        agents.train(agents.GRU(task, width=16, encoder_width=8), task, **length, **quick)
        for length in ({"epochs": 2}, {"steps": 2 * per_epoch})
    )
    assert equal_tensors(by_epochs.policy.state_dict(), by_steps.policy.state_dict())
