"""Exposure bias: its definition, what is known of students known by heart, and that no figure depends on how it was batched."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from rich.console import Console

from agents.evaluation import exposure_bias
from agents.evaluation.exposure_bias import (
    GRAM,
    Settings,
    accumulated,
    compare,
    corrupted,
    measure,
    repeats,
)
from agents.evaluation.outputs import subset
from agents.evaluation.tally import Tally, band, weigh
from agents.policies.transformer import Transformer
from agents.reporting import exposure_report
from support.followers import Follower
from textgen_env.data.batching import in_order
from textgen_env.errors import UserError
from textgen_env.metrics.statistics import bootstrap
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import Task
from textgen_env.types import EOS, UNK

SETTINGS = {"top_k": 1, "corrupt_at": 1, "corrupt": 1, "resamples": 40, "seed": 3}


def report(task: Task, oracle=None, rows: int = 40, **students):
    settings = {name: students.pop(name, value) for name, value in SETTINGS.items()}
    return measure(
        students,
        oracle or task.oracle(),
        task,
        subset(task.splits["train"], rows),
        Settings(**settings, precision="float32", device="cpu"),
    )


def random_student(task: Task, seed: int = 0) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16).eval()


def test_the_definition_on_numbers_by_hand():
    expert, student = np.array([[1.0, 3.0, 2.0]] * 3), np.array([[1.0, 6.0, 11.0, 5.0]] * 3)
    known = accumulated(student, expert)
    assert known["regret"]["value"] == [1, 7, 18]  # R_≤l: summed over the student's prefixes
    assert known["acc_err"]["value"] == pytest.approx(
        [1 / 1, 7 / 2, 18 / 2]
    )  # R_≤l / ε_≤l with ε_≤l = 1, 2, 2
    assert known["ex_acc_err"]["value"] == pytest.approx(
        [0, 75, 200]
    )  # 100 (R_≤l - l ε_≤l) / (l ε_≤l)
    flat = accumulated(expert, expert)
    assert flat["acc_err"]["value"] == pytest.approx([1, 2, 3])
    assert flat["ex_acc_err"]["low"] == [0, 0, 0]


def test_regret_disagreement_and_loss_are_what_a_loop_over_positions_gives(task: Task):
    student, oracle = random_student(task), task.oracle()
    batch = next(in_order(task.splits["test"], 200, task.limit))
    with torch.no_grad():
        found = compare(student, oracle, batch)
        ours = student(batch.source, batch.prefix).log_softmax(-1)
    for row in range(len(batch)):
        for t in range(batch.target.shape[1]):
            theirs = oracle.log_probs(batch.source[row : row + 1], batch.prefix[row : row + 1])[
                0, t
            ]
            kl = sum(o.exp() * (o - p) for o, p in zip(theirs, ours[row, t], strict=True))
            choice = ours[row, t].argmax()
            known = {
                "regret": kl,
                "disagreement": choice != theirs.argmax(),
                "loss": theirs.max() - theirs[choice],
            }
            for name, value in known.items():
                expected = float(value) if t < batch.length[row] else 0.0
                assert found[name][row, t].item() == pytest.approx(expected, abs=1e-5), name


def test_a_student_that_is_its_teacher_has_no_regret_and_no_excess(task: Task):
    student = random_student(task)
    decode = exposure_bias.greedy
    oracle = PolicyOracle(student, decode, task.vocabulary, task.vocabulary)
    found = report(task, oracle, same=student)["same"]
    for who in ("reference", "teacher", "student"):
        for name in ("regret", "disagreement", "loss"):
            assert found["mean"][who][name]["value"] == pytest.approx(0, abs=1e-6)
    assert found["by_position"]["teacher"] == found["by_position"]["student"]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("recovers", [True, False])
def test_recovery_is_the_students_own(task: Task, recovers: bool):
    oracle = task.oracle()
    student = Follower(oracle, recovers)
    found = report(task, rows=200, resamples=5, copier=student)["copier"]
    clean, after = (
        found["recovery"][who]["disagreement"]["value"] for who in ("clean", "corrupted")
    )
    assert len(clean) >= 3
    assert set(clean) == {0.0}
    assert after[0] > 0.5  # right after the wrong token
    assert set(after[1:]) == {0.0 if recovers else 1.0}
    assert found["mean"]["student"]["disagreement"]["value"] == 0
    assert found["length_ratio"]["reference"]["value"] == 1


def test_the_bands_are_those_of_a_bootstrap_over_sentences(task: Task):
    found = report(task, rows=100, resamples=400, student=random_student(task))["student"][
        "length"
    ]["reference"]
    lengths = np.array([[len(row)] for row in subset(task.splits["train"], 100).target])
    low, high = bootstrap(lengths, np.random.default_rng(0))[:, 0]
    assert found["value"] == lengths.mean()
    assert found["high"] - found["low"] == pytest.approx(high - low, rel=0.2)


def test_a_figure_depends_neither_on_the_batches_nor_on_the_other_students(task: Task, monkeypatch):
    one, two = random_student(task, 0), random_student(task, 1)
    together = report(task, one=one, two=two)
    monkeypatch.setattr(exposure_bias, "TOKENS", 30)
    assert_close(report(task, two=two)["two"], together["two"])


def assert_close(left, right):
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for name in left:
            assert_close(left[name], right[name])
    else:
        assert left == pytest.approx(right, abs=1e-4)


def test_a_tally_holds_means_and_the_bootstrap_of_any_number_of_sentences():
    rng, rows = np.random.default_rng(0), 400
    lengths, values = (
        rng.integers(1, 5, rows),
        torch.from_numpy(rng.normal(size=(rows, 4)) + np.arange(4)),
    )
    mask = torch.arange(4) < torch.from_numpy(lengths)[:, None]
    weights = weigh([np.random.default_rng((7, row)) for row in range(rows)], 500)
    whole, parts = Tally(6, 500), Tally(6, 500)
    whole.add(weights, {"x": values}, mask)
    for part in np.array_split(rng.permutation(rows), 7):
        parts.add(weights[part], {"x": values[part]}, mask[part])
    assert parts.sums["x"] == pytest.approx(whole.sums["x"])
    assert whole.reached == 4
    mean = [float(values[mask[:, t], t].mean()) for t in range(4)]
    assert whole.curve("x")[0] == pytest.approx(mean)
    kept = values[mask[:, 2], 2].numpy()[:, None]
    known = bootstrap(kept, np.random.default_rng(1))[:, 0]
    found = band(whole.curve("x"))
    assert found["high"][2] - found["low"][2] == pytest.approx(known[1] - known[0], rel=0.15)
    assert found["low"][2] < found["value"][2] < found["high"][2]
    assert {array.shape for array in (whole.count, *whole.sums.values())} == {(501, 6)}


def test_repetition_sums_to_the_share_of_repeated_grams():
    action = torch.randint(4, 7, (30, 25), generator=torch.Generator().manual_seed(0))
    found = repeats(action)
    for row, marks in zip(action.tolist(), found, strict=True):
        grams = [tuple(row[t : t + GRAM]) for t in range(len(row) - GRAM + 1)]
        assert int(marks.sum()) == len(grams) - len(set(grams))
    assert not repeats(action[:, : GRAM - 1]).any()


def test_only_rows_that_go_on_are_corrupted_and_every_corrupted_token_is_another_ordinary_one():
    start = torch.tensor([[5, 6, 7, 8]] * 60 + [[5, 6, 7, EOS]])
    draws = [np.random.default_rng(row) for row in range(61)]
    broken = corrupted(start, torch.tensor([5] * 60 + [4]), at=2, vocabulary_size=10, rngs=draws)
    assert torch.equal(broken[:, :2], start[:, :2])
    assert torch.equal(broken[60], start[60])
    assert (broken[:60, 2:] != start[:60, 2:]).all()
    assert set(broken[:60, 2:].flatten().tolist()) == set(range(UNK, 10))


def test_what_cannot_be_measured_is_said_in_one_line(task: Task):
    student = random_student(task)
    with pytest.raises(
        UserError, match="corrupt_at=7 corrupt=1: fewer than 10 references go on after that"
    ):
        report(task, corrupt_at=7, student=student)
    with pytest.raises(UserError, match="corrupt=0"):
        report(task, corrupt=0, student=student)
    with pytest.raises(UserError, match="9 sentences: at least 10"):
        report(task, rows=9, student=student)


def test_figure_and_table_show_every_run(task: Task, tmp_path):
    runs = report(
        task, **{"mle [1]": random_student(task, 0), "imitkd_full": random_student(task, 1)}
    )
    results = {"env": "Copy-v0", "settings": {"corrupt_at": 1, "corrupt": 1}, "runs": runs}
    (tmp_path / "figure.png").write_bytes(exposure_report.exposure_bias_png(results))
    picture = imread(tmp_path / "figure.png")
    assert picture.shape[:2] == (1080, 1920)
    for color in exposure_report.colors(results):
        rgb = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        assert (np.abs(picture[..., :3] - rgb).max(-1) < 0.02).sum() > 1000
    console = Console(width=80, record=True, file=open("/dev/null", "w"))
    console.print(exposure_report.exposure_bias_table(results))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    for name, found in runs.items():
        assert name in text
        assert f"{found['mean']['student']['regret']['value']:.3f}" in text
