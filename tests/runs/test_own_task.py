"""A run on a task from outside the package: opened if the command line repeats its name."""

from __future__ import annotations

import importlib
import shutil

import pytest

from support.commands import CPU, run_in_process
from support.corpora import write_parallel

TASK = "from textgen_env.tasks import iwslt\nclass Own:\n    load = staticmethod(iwslt.load)\n"
COMMANDS = {  # the commands that open a run folder, with overrides that make them fast
    "score": ["rows=3", "teacher=true"],
    "show": [],
    "speed": ["rows=4", "rounds=1", "threads=[1]", "beams=[1]", "batch_sizes=[4]"],
    "export": ["rows=4", "batch_sizes=[1]", "threads=1"],
    "exposure_bias": ["rows=12", "resamples=2", "corrupt_at=1", "corrupt=1", "threads=1"],
}
OUT = {"exposure_bias": "out=out"}


@pytest.fixture
def workspace(runs, tmp_path, monkeypatch):
    """A copy of a run in the working directory."""
    shutil.copytree(runs["text"], tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("score", "show") else pytest.param(name, marks=pytest.mark.slow)
        for name in COMMANDS
    ],
)
def test_a_dotted_task_must_be_repeated(name, workspace):
    if name == "export":
        pytest.importorskip("ctranslate2")
    module = f"own_{name}"  # not imported by the other cases
    (workspace / f"{module}.py").write_text(TASK)
    path = workspace / "run" / "config.yaml"
    path.write_text(path.read_text().replace("name: IWSLT-v0", f"name: {module}.Own"))
    command, run = importlib.import_module(name), "[run]" if name == "exposure_bias" else "run"
    words = [f"run={run}", *COMMANDS[name], *CPU, *filter(None, [OUT.get(name)])]
    output = run_in_process(command, *words, code=2)
    assert f"its task {module}.Own is not part of this project" in output
    assert f"add imports=[{module}.Own]" in output
    run_in_process(command, *words, f"imports=[{module}.Own]")
    run_in_process(command, *words, f"env={module}.Own")


@pytest.mark.parametrize("name", ["show"])
def test_options_of_the_task_are_overridden_by_the_command_line(name, workspace):
    command = importlib.import_module(name)
    write_parallel(workspace / "text")
    words = ["run=run", *CPU, "env.data_dir=text", "env.bleu_tokenizer=char"]
    output = run_in_process(command, *words, code=2)
    assert "the run was trained on a different corpus" in output
    output = run_in_process(command, "run=run", *CPU, "env=Copy-v0", code=2)
    assert "error: run" in output
    output = run_in_process(command, "run=run", *CPU, "env.dir=text", code=2)
    assert "unknown key 'env.dir'" in output
    run_in_process(command, "run=run", *CPU, "env.bundled_pairs=120")
