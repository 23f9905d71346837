"""The benchmark measures what it should: contenders do the same work, and the values are what their names promise."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import bench
import cli
from agents.losses.sequence import nll
from agents.policies.transformer import Transformer
from benchmarks import runner
from benchmarks.contenders import distilling, footprint, nn_transformer, ours, stepping
from benchmarks.material import LENGTH, SIZES, Setup, batches, sources, transformer
from benchmarks.runner import Job, best, opened, turns
from benchmarks.suites import decode
from benchmarks.table import ratio, row
from textgen_env.errors import UserError
from textgen_env.types import EOS

ROOT = Path(__file__).parents[2]
SETUP = Setup(vocabulary=60, width=16, tokens=72, threads=1)
DECODE = {"size": "2+2", "amp": "float32", "rows": 3, "steps": 7, "count": 2}


def quiet() -> Transformer:
    policy = transformer(SETUP, "2+2")
    policy.load_state_dict(
        {name: torch.randn_like(weight) * 0.3 for name, weight in policy.state_dict().items()}
    )
    return policy.eval()


def test_nn_transformer_is_the_same_function():
    policy, batch = quiet(), batches(SETUP)[0]
    layers, ffn = SIZES["2+2"]
    plain = nn_transformer.Plain(policy, layers, ffn * SETUP.width).eval()
    theirs, mine = (model(batch.source, batch.prefix, batch.mask) for model in (plain, policy))
    assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    assert mine.std() > 0.1


def test_imitation_learns_from_the_same_states():
    pytest.importorskip("imitation", reason="imitation is not installed (extra: imitation)")
    from benchmarks.contenders import imitation_bc

    policy, batch = quiet(), batches(SETUP)[0]
    parts = imitation_bc.states(batch)
    kept = torch.cat([part["acts"] for part in parts])
    assert torch.equal(kept, batch.target[batch.mask][: len(kept)])
    assert len(kept) == batch.tokens
    spaces = {"observation_space": None, "action_space": None}
    _, log_probs, _ = imitation_bc.Student(spaces, policy).evaluate_actions(
        parts[0]["obs"], parts[0]["acts"]
    )
    assert torch.isclose(
        -log_probs.mean(),
        nll(policy(batch.source, batch.prefix, batch.mask), batch.target[batch.mask]),
    )
    assert imitation_bc.Contender(SETUP).train("2+2", "float32").run() == len(kept)


def test_hugging_face_has_the_same_size_and_does_the_same_work():
    pytest.importorskip("transformers", reason="transformers is not installed (extra: hf)")
    from benchmarks.contenders import huggingface

    contender = huggingface.Contender(SETUP)
    for size in SIZES:
        mine, theirs = (
            sum(w.numel() for w in each.parameters())
            for each in (transformer(SETUP, size), contender.model(size))
        )
        positions = 2 * 1024 * SETUP.width  # a table that is not learnt
        assert mine == theirs - positions + 2 * 2 * SETUP.width  # our two last norms
    assert contender.train("2+2", "float32").run() == sum(batch.tokens for batch in batches(SETUP))
    for width in (1, 5):
        assert contender.decode(**DECODE, width=width).run() == 3 * 7 * 2


def test_ctranslate2_does_the_same_work():
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed (extra: export)")
    from benchmarks.contenders import ctranslate2

    contender = ctranslate2.Contender(SETUP)
    for amp, width in (("float32", 1), ("float32", 5), ("int8", 1)):
        assert (
            contender.decode(**(DECODE | {"amp": amp}), width=width, workers=2).run() == 3 * 7 * 2
        )


def test_ours_does_the_work_and_counts_its_operations():
    contender = ours.Contender(SETUP)
    assert contender.train("2+2", "float32").run() == sum(batch.tokens for batch in batches(SETUP))
    for width in (1, 5):
        assert contender.decode(**DECODE, width=width).run() == 3 * 7 * 2
    assert contender.decode(**(DECODE | {"size": "gru"}), width=1).run() == 3 * 7 * 2
    weights = sum(
        w.numel()
        for name, w in transformer(SETUP, "2+2").named_parameters()
        if w.dim() == 2 and "source" not in name
    )
    assert (
        6 * weights < contender.flops("2+2") < 12 * weights
    )  # 2 a weight and token forwards, 4 backwards; padding, attention
    assert contender.matmul("float32").run() == 3 * 2 * ours.SIDE**3


def test_sentences_are_of_a_bucket_and_whole():
    (source,) = sources(SETUP, 50, 1)
    length = (source != 0).sum(1)
    assert length.min() >= LENGTH - 6
    assert length.max() == source.shape[1] == LENGTH
    assert (source[torch.arange(50), length - 1] == EOS).all()
    assert ((source == EOS).sum(1) == 1).all()


def test_every_row_is_replaced_and_both_steps_learn_from_as_many_tokens():
    contender = distilling.Contender(SETUP)
    generated = contender.rolled_in("2+2", "float32")
    assert (generated.length == LENGTH).all()
    assert not (generated.target == contender.batch.target).all(1).any()
    policy = transformer(SETUP, "2+2")
    for name in ("imitkd", "imitkd_full"):
        made = contender.algorithm(name, policy, "2+2")
        output = made.loss(contender.batch, distilling.CLOCK)
        assert output.weight == generated.tokens
    works = [
        contender.step("2+2", "2+2", algorithm, "float32")
        for algorithm in ("mle", "imitkd", "imitkd_full")
    ]
    works += [
        contender.roll_in("2+2", 5, "float32"),
        contender.query("2+2", "2+2", "action", "float32"),
    ]
    assert [work.run() for work in works] == [1] * 5


def test_environments_are_stepped_to_one_before_the_horizon():
    contender = stepping.Contender(SETUP)
    for work in (contender.single(), contender.vector(3)):
        for _ in range(2):
            work.before()
            assert work.run() == stepping.LIMIT - 1


def test_what_a_worker_holds_alone_is_counted():
    """50 MiB that a forked process writes for itself."""
    ready, done = multiprocessing.Pipe()

    def hold():
        held = torch.ones(50 << 18)
        ready.send(held.nbytes)
        ready.recv()

    worker = multiprocessing.get_context("fork").Process(target=hold, daemon=True)
    held = footprint.held()
    worker.start()
    assert done.recv() == 50 << 20
    try:
        now = footprint.held()
    finally:
        done.send(None)
        worker.join()
    for before, after in zip(held, now, strict=True):
        assert 50 << 20 <= after - before < 100 << 20, "and little of what it has from its maker"


def test_memory_is_read_at_every_step(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    words = [
        "env.corpus=bundled",
        "env.bundled_pairs=60",
        "env.vocabulary=300",
        "preset=quick",
        "train.steps=6",
    ]
    words += [
        f"{who}.{key}"
        for who in ("student", "teacher")
        for key in ("layers=1", "width=16", "heads=2", "ffn=16")
    ]
    steps, resident, peak = footprint.Contender(SETUP).train(
        [*words, "train.batch_tokens=64", "train.validation_rows=2"]
    )
    assert steps == len(resident) == len(peak) == 6
    assert peak == sorted(peak)
    assert all(0 < now <= most for now, most in zip(resident, peak, strict=True))


def fake(rates: list[float]) -> Job:
    """A job that runs at these rates, one after another."""
    left = iter(rates)
    return Job(SimpleNamespace(rate=lambda *_: next(left)), "work", {"amp": "float32"})


def test_the_warm_up_does_not_count_and_the_fastest_way_is_kept():
    assert turns({"one": fake([9.0, 1.0, 2.0]), "two": fake([9.0, 3.0, 4.0])}, rounds=2) == {
        "one": [1, 2],
        "two": [3, 4],
    }
    jobs = [fake([9.0, 3.0, 3.0]), fake([1.0, 4.0, 4.0])]
    assert best(jobs) is jobs[1]


def test_everybody_may_use_every_core_and_is_compared_with_its_own_kind():
    runners = {"ours": None, "ctranslate2": None}
    many, alone = ({"rows": rows, "width": 1} for rows in (64, 1))

    def shapes(who: str, work: dict) -> set[tuple[int, int]]:
        jobs = decode.ways(runners, ["2+2"], work, threads=2)[who, "2+2"]
        return {(job.settings.get("workers", 1), job.threads) for job in jobs}

    assert set(decode.ways(runners, ["2+2"], many, 2)) == {
        *(("ours", model) for model in ("2+2", "gru")),
        *((f"ctranslate2 {amp}", "2+2") for amp in ("float32", "int8")),
    }
    assert shapes("ours", many) == {(2, 1), (1, 2)}
    assert shapes("ctranslate2 int8", many) == {(2, 1), (1, 2)}
    assert shapes("ctranslate2 int8", alone) == {(1, 1), (1, 2)}
    goals = {
        (over, under): goal for over, under, goal in decode.pairs(["2+2", "8+8"], 1, many=True)
    }
    assert goals[("ours", "gru"), ("ours", "8+8")] == "≥ 8"
    assert goals[("ours", "2+2"), ("ctranslate2 float32", "2+2")] == "≥ 1"


def test_a_row_has_the_median_and_the_extremes():
    found = row("suite", "what", ratio([2.0, 9.0, 4.0], [2.0, 3.0, 2.0]))
    assert (found.median, found.low, found.high) == (2, 1, 3)
    assert "(1 to 3)" in str(found)


def test_a_peer_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(
        runner, "find_spec", lambda package: None if package == "transformers" else object()
    )
    assert runner.missing() == {"huggingface": "transformers"}
    with opened(SETUP, "huggingface") as runners:
        assert not runners


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("suite=[beam]", "suite=beam: give run=RUN"),
        ("suite=[trian]", "unknown suite 'trian'; did you mean 'train'?"),
        ("sizes=[3+3]", "unknown size '3+3'"),
        ("rounds=0", "rounds=0: a number of at least 1"),
    ],
)
def test_a_mistake_is_one_line(word, message):
    with pytest.raises(UserError) as error:
        bench.main(cli.read("bench", [word]))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_all_but_the_longest_suite_is_the_default():
    assert bench.chosen_suites(["all"]) == ["decode", "env", "onpolicy", "train"]
    assert bench.chosen_suites(["memory", "env"]) == ["env", "memory"]


def test_the_command_writes_what_it_prints(tmp_path):
    words = [
        "suite=[env]",
        "rounds=1",
        "seconds=0",
        "vocabulary=60",
        "width=16",
        "episodes=4",
        "threads=1",
    ]
    command = [sys.executable, str(ROOT / "experiments" / "bench.py"), *words, f"out={tmp_path}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "bench.json").read_text())
    assert {each["suite"] for each in found["rows"]} == {"machine", "env"}
    assert all(row["what"] in done.stderr for row in found["rows"])
    assert all(each["low"] <= each["median"] <= each["high"] for each in found["rows"])
    assert found["versions"].keys() >= {"torch", "transformers", "ctranslate2", "imitation"}
    assert found["machine"]["cores"] == 1
