"""Every trainer trains our student, and ``interop.py`` saves it where our commands can load it."""

import json
import sys

import pytest
import torch

import interop as command
from agents.generation.rollout import rollout
from agents.interop import TRAINERS, TrainerSettings, load_trainer
from agents.model import load_policy
from agents.runs.task import build_task
from cli import read
from cli.schema import keys
from support.trainers import copy_task, small_student
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.tasks.task import expert
from textgen_env.types import shift

PACKAGES = {
    "sb3_maskable_ppo": "sb3_contrib",
    "imitation_bc": "imitation",
    "imitation_dagger": "imitation",
}
SETTINGS = TrainerSettings(
    steps=6000,
    lr=1e-3,
    epochs=8,
    batch=128,
    envs=64,
    gamma=0.0,
    entropy=0.0,
    reward="zero_one",
    seed=0,
    device="cpu",
)
CHANGES = {  # settings with which a trainer learns enough in seconds
    "sb3_a2c": {"envs": 32, "batch": 32, "steps": 20_000},
    "imitation_bc": {"steps": 1000},
    "imitation_dagger": {"steps": 300, "envs": 8, "batch": 32},
}


def agreement(policy, task):
    """The share of the policy's greedy tokens on the test split that are the expert's."""
    batch = Batches(task.splits["test"], 10**4, 0, task.limit).at(0)
    episodes = rollout(policy, batch.source, task.horizon)
    mask = torch.arange(episodes.action.shape[1]) < episodes.length[:, None]
    expert_action = expert(task).action(batch.source, shift(episodes.action), mask)
    return (episodes.action[mask] == expert_action).float().mean().item()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        if name in ("sb3_a2c", "sb3_maskable_ppo")
        else name
        for name in TRAINERS
    ],
)
def test_every_trainer_improves_agreement_with_the_expert(name):
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    task = copy_task()
    student = small_student(task)
    before = agreement(student, task)
    settings = SETTINGS._replace(**CHANGES.get(name, {}))
    assert load_trainer(name)(student, task, expert(task), settings) >= settings.steps
    # A policy that always generates the same token has at most 0.25.
    assert before < 0.2 < 0.3 < agreement(student, task)


def overrides(out, *more):
    tiny = ["env.symbols=5", "env.max_length=4", "env.horizon=6"]
    tiny += ["env.train=100", "env.valid=5", "env.test=20", "student.width=16", "student.heads=2"]
    return ["env=Copy-v0", *tiny, "device=cpu", f"out={out}", *more]


PPO = ["trainer=sb3_ppo", "steps=64", "batch=32", "envs=8", "epochs=1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a trained student, and its configuration."""
    folder = tmp_path_factory.mktemp("interop") / "one"
    config = read("interop", overrides(folder, *PPO))
    command.main(config)
    return folder, config


def test_the_command_saves_results_and_a_student_that_loads(trained):
    folder, config = trained
    results = json.loads((folder / "results.json").read_text())
    assert results["steps"] >= 64
    assert results["scores"].keys() == {"before", "after"}
    assert "accuracy" in results["scores"]["after"]
    policy, header = load_policy(folder, build_task(config).vocabulary)
    assert header["architecture"]["settings"]["width"] == policy.width == 16


def test_the_command_continues_from_a_saved_student(trained, tmp_path):
    folder, _ = trained
    command.main(read("interop", overrides(tmp_path / "two", *PPO, f"init={folder}")))
    first, second = (
        json.loads((path / "results.json").read_text())["scores"]
        for path in (folder, tmp_path / "two")
    )
    assert second["before"] == first["after"]


def test_a_trained_teacher_is_the_expert(trained, tmp_path):
    """Behavioral cloning of a teacher that cannot copy: the student outputs what it outputs."""
    pytest.importorskip("imitation")
    teacher, config = trained
    settings = ["trainer=imitation_bc", "steps=200", "epochs=16", "lr=0.01", "seed=1"]
    command.main(read("interop", overrides(tmp_path / "two", *settings, f"teacher.path={teacher}")))
    task = build_task(config)
    batch = Batches(task.splits["test"], 10**4, 0, task.limit).at(0)
    policies = (load_policy(path, task.vocabulary)[0] for path in (teacher, tmp_path / "two"))
    outputs = [rollout(policy, batch.source, task.horizon).action for policy in policies]
    same = (outputs[0][:, 0] == outputs[1][:, 0]).float().mean()
    copied = (outputs[1][:, 0] == batch.source[:, 0]).float().mean()
    assert same > 0.6 > 0.4 > copied


def test_the_command_does_not_overwrite_a_folder(trained):
    folder, _ = trained
    with pytest.raises(UserError, match="one is not empty: choose another out="):
        command.main(read("interop", overrides(folder, *PPO)))


def test_a_student_of_another_size_cannot_be_continued(trained, tmp_path):
    folder, _ = trained
    changes = [f"init={folder}", "student.layers=2"]
    message = r"one holds a different student; to use it, add student\.layers=1"
    with pytest.raises(UserError, match=message):
        command.main(read("interop", overrides(tmp_path / "three", *PPO, *changes)))
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer=sb3_pop", "unknown trainer 'sb3_pop'; did you mean 'sb3_ppo'?"),
        ("envs=0", "envs=0: expected a number from 1"),
        ("steps=20", "steps=20 batch=128: one gradient step needs more steps"),
        ("trainer=sb3_ppo gamma=2", "gamma=2.0: expected a number from 0 to 1"),
        (
            "gamma=0.5",
            "gamma=0.5: trainer=imitation_dagger learns from the expert, not from rewards",
        ),
        ("trainer=sb3_ppo teacher.path=nowhere", "no run folder at nowhere"),
        ("teacher.path=hf:gpt2", "teacher.path=hf:gpt2: here it is a run folder"),
        ("trainer=sb3_ppo init=nowhere", "no run folder at nowhere"),
        ("trainer=sb3_ppo reward=blue", "unknown reward 'blue'; did you mean 'bleu'?"),
    ],
)
def test_invalid_settings_raise_before_any_training(override, message, tmp_path):
    with pytest.raises(UserError) as error:
        command.main(read("interop", overrides(tmp_path / "out", *override.split())))
    assert str(error.value).startswith(message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["file", "file/folder"])
def test_an_output_folder_that_cannot_be_created_raises(out, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"^out=.*{out}: .*; name a folder that can be written"):
        command.main(read("interop", overrides(tmp_path / out, "trainer=sb3_ppo")))


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("imitation_bc", "imitation", "imitation"), ("sb3_maskable_ppo", "sb3_contrib", "contrib")],
)
def test_a_missing_package_is_named_with_its_extra(name, module, extra, tmp_path, monkeypatch):
    for loaded in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"agents.interop.{extra}", raising=False)
    message = rf"trainer={name} needs {module}, which is not installed: .*'\.\[{extra}\]'"
    with pytest.raises(UserError, match=message):
        command.main(read("interop", overrides(tmp_path / "out", f"trainer={name}")))
    assert not (tmp_path / "out").exists()


def test_every_trainer_is_a_choice_of_the_command():
    assert set(TRAINERS) == set(keys("interop", {})["trainer"].choices)
