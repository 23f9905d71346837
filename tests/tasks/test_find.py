"""Tasks by their id, and tasks outside the package by their dotted path."""

from __future__ import annotations

import sys

import gymnasium as gym
import pytest

import textgen_env
from textgen_env.errors import UserError
from textgen_env.tasks import copy, find, tasks

MY_TASKS = """
from textgen_env.tasks import copy

def load(symbols: int = 3):
    return copy.load(symbols=symbols, train=20, valid=2, test=2)

class Sort:
    load = staticmethod(load)
"""


@pytest.fixture
def my_tasks(tmp_path, monkeypatch):
    """A module ``my_tasks`` in the working directory."""
    (tmp_path / "my_tasks.py").write_text(MY_TASKS)
    (tmp_path / "my_broken_tasks.py").write_text("import no_such_package")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def test_built_in_tasks_are_found_by_id():
    assert all(find(id) is task for id, task in tasks().items())


@pytest.mark.parametrize("path", ["my_tasks", "my_tasks.Sort", "my_tasks:Sort"])
def test_custom_tasks_are_found_by_dotted_path(path, my_tasks):
    assert find(path).load(symbols=2) is copy.load(symbols=2, train=20, valid=2, test=2)
    assert textgen_env.make_env(path, symbols=5, split="valid").action_space.n == 4 + 5
    assert textgen_env.make_vector_env(path, 3).num_envs == 3


def test_custom_tasks_can_be_registered(my_tasks, monkeypatch):
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    gym.register("Sort-v0", "textgen_env:make_env", kwargs={"task_id": "my_tasks.Sort"})
    assert gym.make("Sort-v0", symbols=2).unwrapped.action_space.n == 4 + 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Copy-v1", r"^unknown task 'Copy-v1'; did you mean 'Copy-v0'\?"),
        ("your_tasks", r"^unknown task 'your_tasks'"),
        ("", r"^unknown task ''"),
        ("your_tasks.Sort", r"^cannot import task 'your_tasks.Sort' \(ModuleNotFoundError"),
        ("my_tasks.Short", r"^cannot import task 'my_tasks.Short' \(.*no attribute 'Short'"),
        ("my_broken_tasks", r"^cannot import task 'my_broken_tasks' \(.*'no_such_package'"),
        ("my_tasks.copy.ID", r"^task 'my_tasks.copy.ID' has no load\(\)"),
    ],
)
def test_errors_name_the_task(name, message, my_tasks):
    with pytest.raises(UserError, match=message):
        find(name)
