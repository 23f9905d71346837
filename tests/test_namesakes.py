"""Another package named ``agents``, as openai-agents has one: in every order of installation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from textgen_env import namesakes

ROOT = Path(__file__).parents[1]
DESCRIBE = "import runpy, sys; print(runpy.run_path(sys.argv[1])['describe_namesakes']())"


def install_ours(site: Path) -> None:
    """As pip installs the wheel, in short."""
    (site / "textgen_env").mkdir(parents=True, exist_ok=True)
    (site / "agents").mkdir(exist_ok=True)
    for name in ("textgen_env/namesakes.py", "agents/__init__.py", "agents/api.py"):
        (site / name).write_bytes((ROOT / name).read_bytes())
    (site / "textgen_env-0.1.0.dist-info").mkdir()
    record = "agents/__init__.py,sha256=x,1\nagents/api.py,sha256=x,1\ntextgen_env/namesakes.py,,\n"
    (site / "textgen_env-0.1.0.dist-info" / "RECORD").write_text(record)
    (site / "textgen_env-0.1.0.dist-info" / "METADATA").write_text("Name: textgen-env\n")


def install_theirs(site: Path) -> None:
    (site / "agents").mkdir(parents=True, exist_ok=True)
    for name in ("__init__.py", "run.py"):
        (site / "agents" / name).write_text('"""Another project."""\n')
    (site / "openai_agents-1.0.dist-info").mkdir()
    record = "agents/__init__.py,,\nagents/run.py,,\n"
    (site / "openai_agents-1.0.dist-info" / "RECORD").write_text(record)
    (site / "openai_agents-1.0.dist-info" / "METADATA").write_text("Name: openai-agents\n")


def describe(ours: Path, *path: Path) -> str:
    """What our copy in ``ours`` says in a process with this search path."""
    command = [sys.executable, "-S", "-c", DESCRIBE, str(ours / "textgen_env" / "namesakes.py")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=ours / "textgen_env"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


def test_nothing_is_said_without_another_package(tmp_path):
    for name in ("one", "two"):
        install_ours(tmp_path / name)
    assert describe(tmp_path / "one", tmp_path / "one") == ""
    assert describe(tmp_path / "one", tmp_path / "one", tmp_path / "two") == ""
    assert namesakes.describe_foreign_agents() == ""


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ((install_ours, install_theirs), "`import agents` gives the package of openai-agents in"),
        ((install_theirs, install_ours), "openai-agents also has a package named agents, in"),
    ],
)
def test_both_in_one_folder(order: tuple[Callable[[Path], None], ...], message: str, tmp_path):
    for install in order:
        install(tmp_path)
    said = describe(tmp_path, tmp_path)
    assert said.startswith(message)
    assert str(tmp_path / "agents") in said
    assert "\n" not in said


def test_in_two_folders_the_first_one_is_imported(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    install_ours(ours)
    install_theirs(theirs)
    first = describe(ours, ours, theirs)
    assert first.startswith("openai-agents also has a package named agents, in ")
    second = describe(ours, theirs, ours)
    assert second.startswith("`import agents` gives the package of openai-agents in ")
    for said in (first, second):
        assert str(theirs / "agents") in said


def test_a_command_ends_with_one_line(tmp_path):
    install_theirs(tmp_path)
    command = [sys.executable, str(ROOT / "experiments" / "dagger.py"), "env=Copy-v0"]
    path = os.pathsep.join(map(str, (tmp_path, ROOT)))
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: `import agents` gives the package of openai-agents in ")


def test_the_import_of_the_environment_warns(tmp_path):
    install_theirs(tmp_path)
    path = os.pathsep.join(map(str, (tmp_path, ROOT)))
    command = [sys.executable, "-c", "import agents, textgen_env"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, cwd=tmp_path
    )
    assert "UserWarning: `import agents` gives the package of openai-agents in " in done.stderr
