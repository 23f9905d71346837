"""A black-box teacher: the recorded outputs of a model that cannot be queried."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import agents
import compare
import dagger
import exposure_bias
import score
import show
import speed
from agents.runs.demonstrations import training_demonstrations
from agents.runs.recorded import RecordedOracle
from support.commands import CPU, run_in_process
from support.copy_runs import COPY, QUICK, results, run, student
from support.training import equal_tensors
from textgen_env.data.limit import Limit
from textgen_env.errors import UserError
from textgen_env.types import EOS


def written(path, texts):
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def test_outputs_that_equal_the_references_give_the_weights_of_cloning(task, tmp_path):
    path = written(tmp_path / "copies.txt", task.corpus.splits["train"].sources)
    recorded = agents.distill(f"outputs:{path}", student(task), task, "seqkd", **QUICK)
    cloned = agents.train(student(task), task, "bc", **QUICK)
    assert equal_tensors(recorded.policy.state_dict(), cloned.policy.state_dict())
    with pytest.raises(UserError, match=r"copies\.txt has only texts; .*seqkd"):
        agents.distill(f"outputs:{path}", student(task), task, "imitkd", **QUICK)


def test_rows_follow_the_corpus_where_the_task_skips_long_pairs(task, tmp_path):
    short = replace(task, limit=Limit(4), splits={})
    assert short.splits["train"].skipped > 0
    sources = task.corpus.splits["train"].sources
    path = written(tmp_path / "copies.txt", sources)
    oracle = RecordedOracle(short, str(path))
    split = training_demonstrations("teacher", short, oracle, "float32", "cpu").split
    assert len(split) == len(short.splits["train"])
    for source, target in zip(split.source, split.target, strict=True):
        assert source.tolist() == target.tolist()


def test_the_best_of_several_outputs_by_score_or_by_reference(task, tmp_path, capsys):
    path = tmp_path / "several.jsonl"
    sources = dict.fromkeys(task.corpus.splits["train"].sources)
    long = " ".join("a" * 20)
    rows = [
        {
            "source": source,
            "outputs": [{"text": t, "score": s} for t, s in ((source, -2), ("e", -1), (long, 0))],
        }
        for source in sources
    ]
    rows[0]["outputs"] = [{"text": "", "score": 0}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    oracle = RecordedOracle(task, str(path))
    first, best = (
        training_demonstrations(kind, task, oracle, "float32", "cpu").split
        for kind in ("teacher", "best_of_beam")
    )
    message = " ".join("".join(capsys.readouterr()).split())
    assert (
        f"of {len(first)} sources have only empty outputs or over 8 tokens and are left out"
        in message
    )
    for source, target, chosen in zip(first.source, first.target, best.target, strict=True):
        if len(target):
            assert target.tolist() == [*task.vocabulary.encode("e"), EOS]
            assert chosen.tolist() == source.tolist()
    assert sum(not len(target) for target in first.target) == sum(
        source == next(iter(sources)) for source in task.splits["train"].texts.sources
    )


def test_only_too_long_outputs_are_refused(task, tmp_path):
    path = written(tmp_path / "long.txt", [" ".join("a" * 20)] * 200)
    with pytest.raises(
        UserError, match=r"long\.txt: no output has at most 8 tokens; raise env\.horizon"
    ):
        agents.distill(f"outputs:{path}", student(task), task, "seqkd", **QUICK)


def test_a_run_on_recorded_outputs(task, empty_workspace):
    train, test = (task.corpus.splits[split].sources for split in ("train", "test"))
    written(Path("t.train.txt"), train)
    written(Path("t.test.txt"), [*test[:10], *["a"] * 10])
    words = [*COPY, "algorithm=seqkd"]
    run_in_process(dagger, *words, "teacher.path=outputs:t.train.txt", "out=train")
    run_in_process(dagger, *words, "teacher.path='outputs:t.{split}.txt'", "out=both")
    train, both = results("train"), results("both")
    assert train["scores"].keys() == {"student"}
    assert train["speed"]["speedup"] is None
    assert both["speed"].keys() == train["speed"].keys()
    assert both["scores"]["teacher"]["accuracy"] >= 50
    assert both["teacher"]["sha256"].keys() == {"train", "test"}
    digest = hashlib.sha256(Path("t.train.txt").read_bytes()).hexdigest()
    assert train["teacher"]["sha256"] == {"train": digest}
    assert both["teacher"]["sha256"]["train"] == digest
    for command, key in ((exposure_bias, "run=[both]"), (show, "run=both")):
        message = run(command, key, *CPU, code=2)
        assert "outputs:t.{split}.txt has only texts" in message
    assert "does not decode" in run_in_process(speed, "run=both", *CPU, code=2)
    run_in_process(score, "run=train", "teacher=true", "out=scores", "rows=4", *CPU)
    assert json.loads(Path("scores/scores.json").read_text())["scores"].keys() == {"student"}
    written(Path("t.train.txt"), [*test, *["a"] * 180])
    shutil.rmtree("train/outputs")
    words = [word.replace("steps=6", "steps=8") for word in words]
    words += ["teacher.path=outputs:t.train.txt", "out=train", "resume=true"]
    assert "outputs" in run_in_process(dagger, *words, code=2)


@pytest.mark.slow
def test_a_comparison_without_outputs_of_the_teacher(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(Path("t.txt"), task.corpus.splits["train"].sources)
    words = [*COPY, "teacher.path=outputs:t.txt"]
    own = ["algorithms=[mle,seqkd]", "students=[transformer]", "seeds=[0]", "beams=[1]", "out=all"]
    run_in_process(compare, *own, *words)
    rows = json.loads(Path("all/comparison.json").read_text())["rows"]
    assert [row["algorithm"] for row in rows] == ["mle", "seqkd"]
    pages = [path.read_text() for path in Path("all").glob("*/report.html")]
    assert len(pages) == 2
    assert not any("identical" in page for page in pages)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("outputs:", "teacher.path=outputs: names no file; write outputs:FILE"),
        ("outputs:none.txt", "none.txt: no such file; name a file of the teacher's outputs"),
        ("'outputs:{split}.txt'", "test.txt: no such file"),
        ("outputs:short.txt", "short.txt: 1 outputs for 200 sources"),
    ],
)
def test_unusable_files_are_refused_before_the_run(path, message, task, empty_workspace):
    written(Path("train.txt"), task.corpus.splits["train"].sources)
    written(Path("short.txt"), ["a"])
    words = [*COPY, "algorithm=seqkd", f"teacher.path={path}", "out=run"]
    assert message in run(dagger, *words, code=2)
    assert not Path("run").exists()
