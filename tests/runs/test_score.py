"""``score.py``: any model on any test set, by any metric."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import score
from agents.model import Model
from support.commands import CPU, run_in_process
from support.corpora import write_parallel
from support.pretrained_models import FAMILIES
from textgen_env.metrics.scores import report_scores, sentence_score


@pytest.fixture
def scored(runs, tmp_path, monkeypatch, capsys):
    """A function that scores a run, by name, or a model; returns messages, summary and lines."""
    monkeypatch.chdir(tmp_path)

    def run(name, *overrides):
        model = name if name.startswith("hf:") else runs[name]
        shutil.rmtree("scored", ignore_errors=True)
        output = run_in_process(score, f"run={model}", *CPU, "out=scored", *overrides)
        summary = json.loads(Path("scored/scores.json").read_text())
        assert json.loads(capsys.readouterr().out) == summary
        lines = {
            name: [
                json.loads(line) for line in Path(f"scored/{name}.jsonl").read_text().splitlines()
            ]
            for name in summary["scores"]
        }
        return output, summary, lines

    return run


@pytest.fixture
def test_set(tmp_path) -> Path:
    """A German-English folder with a test set of one sentence, and no training text."""
    folder = write_parallel(tmp_path / "text", stems=("other", "more", "test"))
    for path in folder.glob("*.en"):
        path.write_text("THE HOUSE IS OLD .\n")
    return folder


def test_the_scores_are_those_of_the_sentences(scored):
    output, summary, lines = scored("text", "teacher=true", "metric=chrf", "beam=2", "rows=5")
    assert list(summary["scores"]) == ["teacher", "student"]
    assert (summary["rows"], summary["metric"], summary["settings"]["beam"]) == (5, "chrf", 2)
    for name, rows in lines.items():
        texts, references = ([row[key] for row in rows] for key in ("hypothesis", "references"))
        (value,) = report_scores("chrf", texts, references).values()
        entry = summary["scores"][name]
        assert (entry["chrf"], entry["signature"]) == (value.value, value.signature)
        assert entry["intervals"] == {"chrf": [value.low, value.high]}
        assert f"{value.value:.1f} [{value.low:.1f}," in output
        for row in rows:
            expected = sentence_score("chrf", row["hypothesis"], row["references"])
            assert row["scores"]["chrf"] == pytest.approx(expected["chrf"], abs=1e-4)
    assert value.signature in output


def test_another_test_set_needs_no_training_text(scored, test_set):
    _, summary, lines = scored("text", f"env.data_dir={test_set}")
    assert summary["env"] == "IWSLT-v0"
    (row,) = lines["student"]
    assert row["source"] == "das haus ."
    assert row["references"] == ["the house is old ."]  # lowercased, as the run's training text


def test_another_task_may_bring_the_test_set(scored, test_set):
    _, summary, lines = scored("text", "env=ParallelText-v0", f"env.data_dir={test_set}")
    assert summary["env"] == "ParallelText-v0"
    assert lines["student"][0]["references"] == ["the house is old ."]


def test_other_splits_and_rows_can_be_scored(scored):
    _, summary, _ = scored("bc", "split=valid", "env.valid=7", "env.seed=3")
    assert (summary["split"], summary["rows"]) == ("valid", 7)
    _, summary, lines = scored("bc", "split=train", "rows=9", "teacher=true")
    assert summary["rows"] == len(lines["student"]) == 9
    assert summary["scores"]["teacher"]["accuracy"] == 100


@pytest.mark.parametrize("family", ["marian", "gpt2"])
def test_a_pretrained_model_is_scored_without_a_run(family, scored, test_set):
    pytest.importorskip("transformers")
    model = FAMILIES[family](test_set.parent / family)
    env = [
        "env=ParallelText-v0",
        f"env.data_dir={test_set}",
        "env.horizon=9",
        "env.source_limit=30",
    ]
    _, summary, lines = scored(f"hf:{model}", *env)
    assert [row["source"] for row in lines["model"]] == ["das haus ."]
    assert summary["scores"]["model"]["signature"].startswith("nrefs:1|")


def test_a_saved_model_is_scored_without_a_run(runs, test_set, monkeypatch):
    monkeypatch.chdir(test_set.parent)
    Model.load(runs["text"]).save("model")
    assert "run=model names no task" in run_in_process(score, "run=model", code=2)
    words = ["run=model", *CPU, "env=IWSLT-v0", f"env.data_dir={test_set}"]
    assert "teacher=true: run=model is not the folder of a run" in run_in_process(
        score, *words, "teacher=true", code=2
    )
    run_in_process(score, *words, "out=scored")
    again = run_in_process(score, *words, "split=test", "out=scored", code=2)
    assert "out=scored already holds scores.json: name another folder, or delete it" in again
    (line,) = Path("scored/model.jsonl").read_text().splitlines()
    assert json.loads(line)["references"] == ["the house is old ."]


def test_another_corpus_than_the_runs_is_never_taken_in_its_place(runs, tmp_path):
    folder = shutil.copytree(runs["bc"], tmp_path / "copy")
    path = folder / "results.json"
    path.write_text(path.read_text().replace('"source": "bundled"', '"source": "hub"'))
    output = run_in_process(score, f"run={folder}", *CPU, code=2)
    assert "its hub corpus is not available, only the bundled one; give env.data_dir=" in output


def test_a_teacher_that_is_gone_is_named_and_the_student_scored(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(runs["text"], tmp_path / "copy")
    path = folder / "results.json"
    results = json.loads(path.read_text())
    results["teacher"]["path"] = "gone"
    path.write_text(json.dumps(results))
    output = run_in_process(score, f"run={folder}", *CPU, "teacher=true", "rows=3", "out=scored")
    (line,) = [line for line in output.splitlines() if line.startswith("teacher: not scored: ")]
    assert "its teacher gone is missing" in line
    assert list(json.loads(Path("scored/scores.json").read_text())["scores"]) == ["student"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give run=RUN, a finished run folder, or run=hf:MODEL"),
        (["run=nowhere"], "no run folder at nowhere"),
        (["run=text", "env.data_dir=nowhere"], "no folder nowhere"),
        (["run=text", "split=tset"], "unknown split 'tset'; did you mean 'test'?"),
        (["run=text", "metric=blue"], "unknown metric 'blue'; did you mean 'bleu'?"),
        (
            ["run=text", "env.horizon=9", "env.source_limit=30"],
            "env.horizon does not apply: the model has its own",
        ),
        (["run=text", "env.datadir=x"], "unknown key 'env.datadir'; did you mean 'env.data_dir'?"),
        (["run=text", "env.bundled_pairs=many"], "env.bundled_pairs=many: expected int"),
        (["run=text", "separator=x"], "separator does not apply: only run=hf:… uses it"),
        (["run=text", "beam=500"], "beam=500: expected a number from 1 to "),
        (["run=text", "bean=5"], "unknown key 'bean'; did you mean 'beam'?"),
        (["run=hf:model"], "run=hf:model names no task: add env=NAME"),
    ],
)
def test_mistakes_are_one_line(words, message, runs, monkeypatch):
    monkeypatch.chdir(runs["bc"].parent)
    output = run_in_process(score, *words, code=2)
    assert message in output.split("error: ")[1]
