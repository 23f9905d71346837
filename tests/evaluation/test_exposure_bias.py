"""Exposure bias: its definition, students whose errors are known, and independence of batching."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from agents.evaluation import exposure_bias
from agents.evaluation.exposure_bias import (
    GRAM,
    ExposureBiasConfig,
    accumulated,
    corrupt,
    measure_exposure_bias,
    prefix_metrics,
    repeats,
)
from agents.evaluation.outputs import subset
from agents.generation.decoding import greedy
from agents.policies.transformer import TransformerPolicy
from support.followers import Follower
from textgen_env.data.batching import sequential_batches
from textgen_env.errors import UserError
from textgen_env.metrics.statistics import bootstrap_interval
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import Task
from textgen_env.types import EOS, UNK

SETTINGS = {"top_k": 1, "corrupt_at": 1, "corrupt": 1, "resamples": 40, "seed": 3}


def measure(task: Task, students, oracle=None, rows: int = 40, **settings):
    config = ExposureBiasConfig(**SETTINGS | settings, precision="float32", device="cpu")
    split = subset(task.splits["train"], rows)
    return measure_exposure_bias(students, oracle or task.oracle(), task, split, config)


def random_student(task: Task, seed: int = 0) -> TransformerPolicy:
    torch.manual_seed(seed)
    return TransformerPolicy(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16).eval()


# --- the definition


def test_accumulation_of_known_regrets():
    expert, student = np.array([[1.0, 3.0, 2.0]] * 3), np.array([[1.0, 6.0, 11.0, 5.0]] * 3)
    result = accumulated(student, expert)  # ε_≤l = 1, 2, 2
    assert result["regret"]["value"] == [1, 7, 18]
    assert result["acc_err"]["value"] == pytest.approx([1 / 1, 7 / 2, 18 / 2])
    assert result["ex_acc_err"]["value"] == pytest.approx([0, 75, 200])


def test_equal_regrets_do_not_accumulate():
    regret = np.array([[1.0, 3.0, 2.0]] * 3)
    result = accumulated(regret, regret)
    assert result["acc_err"]["value"] == pytest.approx([1, 2, 3])
    assert result["ex_acc_err"]["low"] == [0, 0, 0]


def test_prefix_metrics_equal_a_loop_over_positions(task: Task):
    student, oracle = random_student(task), task.oracle()
    batch = next(sequential_batches(task.splits["test"], 200, task.limit))
    with torch.no_grad():
        metrics = prefix_metrics(student, oracle, batch)
        log_p = student(batch.source, batch.prefix).log_softmax(-1)  # [B, T, V]
    log_o = oracle.log_probs(batch.source, batch.prefix)  # [B, T, V]
    for row in range(len(batch)):
        for t in range(batch.target.shape[1]):
            o, p = log_o[row, t], log_p[row, t]
            expected = {
                "regret": sum(a.exp() * (a - b) for a, b in zip(o, p, strict=True)),
                "disagreement": p.argmax() != o.argmax(),
                "loss": o.max() - o[p.argmax()],
            }
            inside = t < batch.length[row]
            for name, value in expected.items():
                value = float(value) if inside else 0.0
                assert metrics[name][row, t].item() == pytest.approx(value, abs=1e-5), name


def test_repetition_equals_the_number_of_repeated_ngrams():
    action = torch.randint(4, 7, (30, 25), generator=torch.Generator().manual_seed(0))
    for row, repeated in zip(action.tolist(), repeats(action), strict=True):
        grams = [tuple(row[t : t + GRAM]) for t in range(len(row) - GRAM + 1)]
        assert int(repeated.sum()) == len(grams) - len(set(grams))
    assert not repeats(action[:, : GRAM - 1]).any()


def test_corruption_replaces_every_token_of_longer_rows_by_another():
    start = torch.tensor([[5, 6, 7, 8]] * 60 + [[5, 6, 7, EOS]])
    length = torch.tensor([5] * 60 + [4])
    rngs = [np.random.default_rng(row) for row in range(61)]
    corrupted = corrupt(start, length, first=2, vocabulary_size=10, rngs=rngs)
    assert torch.equal(corrupted[:, :2], start[:, :2])
    assert torch.equal(corrupted[60], start[60])
    assert (corrupted[:60, 2:] != start[:60, 2:]).all()
    assert set(corrupted[:60, 2:].flatten().tolist()) == set(range(UNK, 10))


# --- students with known errors


def test_student_equal_to_its_teacher_has_no_regret(task: Task):
    student = random_student(task)
    oracle = PolicyOracle(student, greedy, task.vocabulary, task.vocabulary)
    result = measure(task, {"same": student}, oracle)["same"]
    for prefixes in ("reference", "teacher", "student"):
        for name in ("regret", "disagreement", "loss"):
            assert result["mean"][prefixes][name]["value"] == pytest.approx(0, abs=1e-6)
    assert result["by_position"]["teacher"] == result["by_position"]["student"]
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("recovers", [True, False])
def test_recovery_of_a_student_that_copies_until_a_wrong_token(task: Task, recovers: bool):
    student = Follower(task.oracle(), recovers)
    result = measure(task, {"student": student}, rows=200, resamples=5)["student"]
    clean, corrupted = (
        result["recovery"][start]["disagreement"]["value"] for start in ("clean", "corrupted")
    )
    assert len(clean) >= 3
    assert set(clean) == {0.0}
    assert corrupted[0] > 0.5  # right after the wrong token
    assert set(corrupted[1:]) == {0.0 if recovers else 1.0}
    assert result["mean"]["student"]["disagreement"]["value"] == 0
    assert result["length_ratio"]["reference"]["value"] == 1


# --- intervals and batching


def test_intervals_have_the_width_of_a_bootstrap_over_sentences(task: Task):
    result = measure(task, {"student": random_student(task)}, rows=100, resamples=400)
    length = result["student"]["length"]["reference"]
    lengths = np.array([[len(row)] for row in subset(task.splits["train"], 100).target])
    low, high = bootstrap_interval(lengths, np.random.default_rng(0))[:, 0]
    assert length["value"] == lengths.mean()
    assert length["high"] - length["low"] == pytest.approx(high - low, rel=0.2)


def test_result_depends_neither_on_batching_nor_on_other_students(task: Task, monkeypatch):
    first, second = random_student(task, 0), random_student(task, 1)
    together = measure(task, {"first": first, "second": second})
    monkeypatch.setattr(exposure_bias, "MAX_BATCH_TOKENS", 30)
    assert_close(measure(task, {"second": second})["second"], together["second"])


def assert_close(left, right):
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for name in left:
            assert_close(left[name], right[name])
    else:
        assert left == pytest.approx(right, abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corrupt_at": 7}, "corrupt_at=7 corrupt=1: fewer than 10 references are longer"),
        ({"corrupt": 0}, "corrupt=0"),
        ({"rows": 9}, "9 sentences are too few for means by position; use at least 10"),
    ],
)
def test_unmeasurable_settings_give_a_one_line_error(task: Task, settings, message):
    with pytest.raises(UserError, match=message):
        measure(task, {"student": random_student(task)}, **settings)
