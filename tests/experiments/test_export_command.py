"""``export.py``: its comparison of the exported model with the run, and its errors."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

import cli
import dagger
import export
from textgen_env.errors import UserError

pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed (extra: export)")

RUN = [
    *("env=Copy-v0", "env.train=300", "train.steps=20", "train.validations=1"),
    *("student.layers=1", "student.width=16", "student.heads=2", "student.ffn=16"),
    *("train.batch_tokens=64", "evaluate.rows=8", "evaluate.speed_rows=8"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a few steps."""
    folder = tmp_path_factory.mktemp("run") / "run"
    dagger.main(cli.read("dagger", [*RUN, f"out={folder}"]))
    return folder


def test_the_command_compares_the_model_with_the_run(run, tmp_path):
    folder = tmp_path / "model"
    export.main(cli.read("export", [f"run={run}", "rows=20", f"out={folder}"]))
    results = json.loads((folder / "export.json").read_text())
    assert results["equal"] == results["settings"]["rows"] == 20
    assert results["scores"]["exported"] == results["scores"]["student"]
    assert [row["batch_size"] for row in results["speeds"]] == [1, 64]
    assert all(row["exported_tokens_per_second"] > 0 for row in results["speeds"])


def test_the_report_of_the_run_keeps_the_exported_speeds(run, tmp_path):
    export.main(cli.read("export", [f"run={run}", "rows=4", f"out={tmp_path / 'model'}"]))
    dagger.main(cli.read("dagger", [*RUN, f"out={run}", "resume=true"]))  # of a finished run
    rows = json.loads((run / "results.json").read_text())["exported"]["float32"]
    assert [row["batch_size"] for row in rows] == [1, 64]
    page = (run / "report.html").read_text()
    assert all(f"Exported in float32, greedy, batch {size}" in page for size in (1, 64))


def test_without_the_outputs_of_the_run_its_report_stays_as_it_is(run, tmp_path):
    (outputs,) = (run / "outputs").glob("*.json")
    hidden, before = outputs.rename(tmp_path / "hidden"), (run / "report.html").read_bytes()
    overrides = [f"run={run}", "rows=4", "quantization=int8", f"out={tmp_path / 'model'}"]
    try:
        export.main(cli.read("export", overrides))
        assert (tmp_path / "model" / "export.json").is_file()
        assert "int8" not in json.loads((run / "results.json").read_text()).get("exported", {})
        assert (run / "report.html").read_bytes() == before
    finally:
        hidden.rename(outputs)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "give run=RUN"),
        (["run=nowhere"], "no run folder at nowhere"),
        (["run=.", "format=onnx"], "unknown format 'onnx'"),
        (["run=.", "quantization=int9"], "unknown quantization 'int9'"),
    ],
)
def test_invalid_settings_raise_a_one_line_error(overrides, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        export.main(cli.read("export", overrides))
    assert "\n" not in str(error.value)


def test_a_run_without_its_checkpoint_raises(run):
    best = run / "checkpoints" / "best.safetensors"
    hidden = best.rename(best.with_suffix(".hidden"))
    try:
        with pytest.raises(UserError, match="no checkpoint at"):
            export.main(cli.read("export", [f"run={run}"]))
    finally:
        hidden.rename(best)


def test_without_ctranslate2_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.delitem(sys.modules, "agents.interop.ctranslate2", raising=False)
    monkeypatch.delattr("agents.interop.ctranslate2", raising=False)
    message = re.escape("ctranslate2 is not installed: python -m pip install")
    with pytest.raises(UserError, match=message):
        export.main(cli.read("export", ["run=."]))
