"""results.json: wherever it is read, a corrupted file gives the same one-line error."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

import export
from agents.runs.evaluation import previous_results
from agents.runs.loading import load_student
from agents.runs.teacher import teacher_record
from textgen_env.errors import UserError

RESULTS = {
    **{"corpus": {"name": "c", "source": "local", "fingerprint": "f"}, "teacher": {"path": None}},
    **{"student": {"parameters": 1}, "scores": {"teacher": {"signature": "s"}}},
    **{"speed": {"speedup": 1.0, "precision": "float32"}, "cost": {"seconds": 1.0}},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.yaml").write_text("evaluate: {}\nteacher: {}\n")
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    return tmp_path


def changed(**changes) -> bytes:
    return json.dumps(RESULTS | changes).encode()


CORRUPTIONS = {
    "truncated": (b"[1", "Expecting"),
    "list": (b"[1]", "results is [1]"),
    "deeply nested": (b"[" * 10**5, "nested too deeply"),
    "not UTF-8": (b'{"env": "\xff"}', "0xff"),
    "cost null": (changed(cost=None), "results.cost is null"),
    "cost without seconds": (changed(cost={"a": 1}), "results.cost has no seconds"),
    "NaN seconds": (changed(cost={"seconds": float("nan")}), "results.cost.seconds is NaN"),
    "empty speed": (changed(speed={}), "results.speed has no speedup"),
    "text as speedup": (changed(speed={"speedup": "a", "precision": ""}), 'speedup is "a"'),
    "text as corpus": (changed(corpus="a"), 'results.corpus is "a"'),
    "text as score": (changed(scores={"student": {"low": "a"}}), 'scores.student.low is "a"'),
    "empty export": (changed(exported={"int8": [{}]}), "has no exported_tokens_per_second"),
}


@pytest.mark.parametrize(
    "read",
    [
        lambda folder: load_student(folder, "cpu"),
        previous_results,
        lambda folder: export.add_to_report(SimpleNamespace(folder=folder), {}),
        lambda folder: teacher_record(str(folder), "cost"),
    ],
    ids=["load_student", "previous_results", "add_to_report", "teacher_record"],
)
@pytest.mark.parametrize(("data", "reason"), CORRUPTIONS.values(), ids=CORRUPTIONS.keys())
def test_corrupted_results_give_a_one_line_error(folder, data, reason, read):
    path = folder / "results.json"
    path.write_bytes(data)
    message = f"^{path} is corrupted .*: delete it and rerun .* resume=true$"
    with pytest.raises(UserError, match=message) as error:
        read(folder)
    assert reason in str(error.value)


def test_results_of_another_script_name_no_training_cost(folder):
    results = {"trainer": "sb3_ppo", "scores": {"before": {"bleu": 1.0}}, "seconds": 2}
    (folder / "results.json").write_text(json.dumps(results))
    assert teacher_record(str(folder), "cost") is None
