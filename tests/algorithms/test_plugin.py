"""An algorithm that lives in one file outside the packages: the worked example, and what a new one may get wrong."""

import csv
import json
import os
import re
import sys

import pytest
import test_scripts
import torch
from test_algorithms import SHORT, fit
from test_scripts import ROOT, TINY
from test_scripts import run as run_script

from agents.algorithms.bc import BC
from agents.policies.transformer import Transformer
from command_line import help_table, read
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.tasks.task import expert

EXAMPLES = ROOT / "docs" / "examples"
LAZY = "algorithm._target_=lazy_dagger.LazyDAgger"
FEW = ["env=Copy-v0", "env.train=300", "train.batch_tokens=64", *TINY, "train.steps=6", "train.validations=2"]


@pytest.fixture
def lazy(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import lazy_dagger

    return lazy_dagger


@pytest.fixture
def run(monkeypatch):
    path = os.pathsep.join([str(ROOT), str(EXAMPLES)])
    monkeypatch.setattr(test_scripts, "environment", lambda: os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path})
    return run_script


def learner(task, lazy, **settings):
    torch.manual_seed(1)
    policy = Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16, dropout=0.0)
    return lazy.LazyDAgger(policy, expert(task), **settings), Batches(task.splits["train"], 400, 0, task.limit).at(0)


def test_the_example_is_short_and_the_readme_shows_it():
    text = (EXAMPLES / "lazy_dagger.py").read_text()
    assert text.count("\n") < 150
    readme = (ROOT / "README.md").read_text()
    section = readme.partition("## A new algorithm in one file")[2].partition("\n## ")[0]
    shown = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    source = {line.strip() for line in text.split("\n")}
    assert [line for line in shown.split("\n") if line.strip() not in {*source, "..."}] == []


def test_the_example_solves_copy(lazy, tmp_path):
    words = ["precision=float32", "train.steps=300", "train.batch_tokens=256", "train.validations=5"]
    assert fit(tmp_path, [*SHORT, LAZY, *words]) >= 99


def test_who_is_never_doubted_writes_alone_and_who_always_is_clones_the_expert(lazy, task):
    free, batch = learner(task, lazy, take=1.0, give=1.0)
    figures = free.loss(batch, 0.0).figures
    assert figures == {"expert": 0.0, "switches": 0.0}
    watched, batch = learner(task, lazy, take=0.0, give=0.0)
    output = watched.loss(batch, 0.0)
    assert output.figures["expert"] == 1
    torch.testing.assert_close(output.loss, BC(watched.policy).loss(batch, 0.0).loss)  # the expert copies, as the data does
    assert output.tokens == output.decoded == batch.tokens


def test_control_changes_hands_at_the_two_thresholds(lazy, task):
    algorithm, batch = learner(task, lazy)
    with torch.no_grad():
        policy = algorithm.policy.eval()
        # thresholds in the middle of what occurs, so that control does change hands
        occurring = 1 - policy(batch.source, batch.prefix).softmax(-1).gather(2, batch.target[:, :, None])[batch.mask]
        give, take = occurring.quantile(torch.tensor([0.4, 0.6])).tolist()
        pair = lazy.Pair(policy, algorithm.oracle, take, give, batch.limit)
        written = lazy.greedy(pair, batch.source, batch.limit)
        batch = batch.with_rows(torch.ones_like(batch.length, dtype=torch.bool), written)
        logits = policy(batch.source, batch.prefix)
        label = expert(task).action(batch.source, batch.prefix)
        discrepancy = 1 - logits.softmax(-1).gather(2, label[:, :, None])[:, :, 0]  # [B, T]
    seen = set()
    for row in range(len(batch)):
        before = False
        for step in range(batch.length[row]):
            control = bool(discrepancy[row, step] > (give if before else take))
            assert control == pair.control[row, step]
            own = lazy.writable(logits[row, step : step + 1]).argmax()
            assert batch.target[row, step] == (label[row, step] if control else own)
            seen.add((before, control))
            before = control
    assert seen == {(False, False), (False, True), (True, False), (True, True)}


def test_the_example_runs_and_is_compared_like_any_other(run, tmp_path):
    run("dagger.py", *FEW, LAZY, "algorithm.take=0.7", "out=run", cwd=tmp_path)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["algorithm"] == "lazy_dagger.LazyDAgger"
    assert results["cost"]["student_tokens_decoded"] == results["cost"]["gradient_tokens"] > 0
    words = ["algorithms=[mle,lazy_dagger.LazyDAgger]", "algorithm.take=0.7", "beams=[1]", "out=c"]
    run("compare.py", *FEW, *words, cwd=tmp_path)
    with open(tmp_path / "c" / "comparison.csv", encoding="utf-8") as file:
        assert [row["algorithm"] for row in csv.DictReader(file)] == ["teacher", "mle", "lazy_dagger.LazyDAgger"]
    assert "take: 0.7" in (tmp_path / "c" / "lazy_dagger.LazyDAgger-transformer-seed0" / "config.yaml").read_text()


def test_its_keys_have_help_and_are_checked(lazy):
    table = help_table("dagger", ["env=Copy-v0", LAZY])
    meaning = dict(zip(*(map(str, table.columns[i].cells) for i in (0, 2)), strict=True))
    assert meaning["algorithm.take"] == "the expert takes over where the discrepancy is larger than this"
    with pytest.raises(UserError, match=r"unknown key 'algorithm\.tkae'; did you mean 'algorithm\.take'\?"):
        read("dagger", [LAZY, "algorithm.tkae=1"])
    with pytest.raises(UserError, match=r"give=0\.5 take=0\.1"):
        lazy.LazyDAgger(None, None, take=0.1)


WRONG = """
from agents.algorithms import Algorithm, LossOutput
class Base(Algorithm):
    def __init__(self, policy): self.policy = policy
    def logits(self, batch): return self.policy(batch.source, batch.prefix, batch.mask)
class Bare(Base):
    def loss(self, batch, progress): return self.logits(batch).mean()
class Nothing(Base):
    def loss(self, batch, progress): pass
class Number(Base):
    def loss(self, batch, progress): return LossOutput(self.logits(batch).mean().item(), 1)
class Vector(Base):
    def loss(self, batch, progress): return LossOutput(self.logits(batch).mean(0), 1)
class Detached(Base):
    def loss(self, batch, progress): return LossOutput(self.logits(batch).mean().detach(), 1)
class Unrelated: pass
def function(policy): pass
"""


@pytest.fixture
def wrong(tmp_path, monkeypatch):
    (tmp_path / "wrong_algorithms.py").write_text(WRONG)
    (tmp_path / "broken_algorithms.py").write_text("def (")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("wrong_algorithms", None)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.Bare", "ModuleNotFoundError: No module named 'nowhere'; give module.Class"),
        ("broken_algorithms.Bare", "SyntaxError: "),
        ("wrong_algorithms.Bear", "AttributeError: module 'wrong_algorithms' has no attribute 'Bear'"),
        ("wrong_algorithms.Unrelated", "is no Algorithm: give a subclass of agents.algorithms.Algorithm"),
        ("wrong_algorithms.function", "is no Algorithm"),
        ("wrong_algorithms", "give module.Class of an importable file"),
    ],
)
@pytest.mark.usefixtures("wrong")
def test_a_file_that_offers_no_algorithm_is_one_line(target, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        read("dagger", ["env=Copy-v0", f"algorithm._target_={target}"])
    assert str(error.value).startswith(f"algorithm._target_={target}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Bare", "Bare.loss gives a Tensor; give a LossOutput"),
        ("Nothing", "Nothing.loss gives None; give a LossOutput"),
        ("Number", "Number.loss gives a loss that is a float; give a tensor"),
        ("Vector", "Vector.loss gives a loss of shape [12]; give a scalar"),
        ("Detached", "Detached.loss gives a loss without a gradient"),
    ],
)
@pytest.mark.usefixtures("wrong")
def test_a_loss_that_cannot_be_trained_on_is_one_line(name, message, tmp_path):
    with pytest.raises(UserError, match=re.escape(message)):
        fit(tmp_path / "run", ["env=Copy-v0", "train.steps=1", f"algorithm._target_=wrong_algorithms.{name}"])


def test_misuse_ends_a_command_with_exit_code_two(run, tmp_path):
    (tmp_path / "wrong_algorithms.py").write_text(WRONG)  # the working directory is searched too
    said = run("dagger.py", *FEW, "algorithm._target_=wrong_algorithms.Bare", "out=run", cwd=tmp_path, code=2)
    assert "Traceback" not in said
    assert said.strip().split("\n")[-1].startswith("error: Bare.loss gives a Tensor; give a LossOutput(loss, tokens, …)")
