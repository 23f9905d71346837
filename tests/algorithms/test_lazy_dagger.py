"""The worked example of an algorithm in one file outside the packages."""

import csv
import json
import re
from functools import partial

import pytest
import torch

from agents.algorithms.bc import BC
from agents.discovery import help_lines
from support.commands import ROOT, TINY
from support.commands import run as run_command
from support.copying import SOLVED, copy_task, fit, student
from support.learners import batch_of, first_loss, small_policy
from textgen_env.errors import UserError
from textgen_env.profiler import Profiler
from textgen_env.tasks.task import expert
from textgen_env.types import EOS

EXAMPLES = ROOT / "docs" / "examples"
LAZY = "algorithm=lazy_dagger.LazyDAgger"
FEW_STEPS = ["train.steps=6", "train.validations=2", "train.batch_tokens=64", "env.train=300"]


@pytest.fixture
def lazy_dagger(monkeypatch):
    """The class of the example."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from lazy_dagger import LazyDAgger

    return LazyDAgger


def test_the_example_is_short_and_in_the_readme():
    text = (EXAMPLES / "lazy_dagger.py").read_text()
    assert text.count("\n") < 50
    readme = (ROOT / "README.md").read_text()
    section = readme.partition("## A new algorithm in one file")[2].partition("\n## ")[0]
    excerpt = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    known = {line.strip() for line in text.split("\n")} | {"..."}
    assert [line for line in excerpt.split("\n") if line.strip() not in known] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_example_solves_copy(lazy_dagger, tmp_path, seed):
    task = copy_task()
    algorithm = lazy_dagger(student(task, seed), expert(task))
    assert fit(tmp_path, task, algorithm, 300, seed) >= SOLVED


def test_with_thresholds_of_one_the_student_acts_alone(lazy_dagger, task):
    algorithm = lazy_dagger(small_policy(task), expert(task), take=1.0, give=1.0)
    with Profiler({}, "rest") as profiler:
        loss = first_loss(algorithm, batch_of(task))
    assert loss.metrics == {"expert": 0.0}
    assert loss.weight == profiler.counts["decoded"]


def test_with_thresholds_of_zero_the_loss_is_behavioral_cloning(lazy_dagger, task):
    """The expert of Copy-v0 generates the references."""
    policy = small_policy(task)
    loss = first_loss(lazy_dagger(policy, expert(task), take=0.0, give=0.0), batch_of(task))
    assert loss.metrics["expert"] == 1
    torch.testing.assert_close(loss.sum, first_loss(BC(policy), batch_of(task)).sum)


def test_control_switches_at_the_two_thresholds(lazy_dagger, task):
    batch, policy, oracle = batch_of(task), small_policy(task).eval(), expert(task)
    episodes = []
    with torch.no_grad():
        probs = policy(batch.source, batch.prefix).softmax(-1)
        discrepancies = 1 - probs.gather(2, batch.target[:, :, None])[batch.mask]
    give, take = discrepancies.quantile(torch.tensor([0.4, 0.6])).tolist()
    algorithm = lazy_dagger(policy, oracle, take, give)
    algorithm.choose = partial(recording, algorithm.choose, episodes)
    loss = first_loss(algorithm, batch)
    switches = set()
    for own, expert_logits, before, token, control in episodes:
        action = expert_logits.argmax(-1)
        discrepancy = 1 - own[:, EOS:].softmax(-1).gather(1, action[:, None] - EOS)[:, 0]
        threshold = torch.where(before, give, take)
        assert torch.equal(control, discrepancy > threshold)
        assert torch.equal(token, torch.where(control, action, own.argmax(-1)))
        switches |= set(zip(before.tolist(), control.tolist(), strict=True))
    assert switches == {(False, False), (False, True), (True, False), (True, True)}
    by_expert = sum(control.sum() for *_, control in episodes)
    torch.testing.assert_close(loss.metrics["expert"], by_expert / loss.weight)


def recording(choose, calls, own, expert_logits, control, noise):
    """Call ``choose``, and append its arguments and results to ``calls``."""
    token, acted, after = choose(own, expert_logits, control, noise)
    calls.append((own, expert_logits, control, token, acted))
    return token, acted, after


@pytest.mark.slow
def test_the_example_runs_in_the_commands(tmp_path):
    run = partial(run_command, cwd=tmp_path, path=[EXAMPLES])
    options = ["env=Copy-v0", *FEW_STEPS, *TINY, "algorithm.take=0.7"]
    run("dagger.py", *options, LAZY, "out=run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["algorithm"] == "lazy_dagger.LazyDAgger"
    assert results["cost"]["student_tokens_decoded"] == results["cost"]["gradient_tokens"] > 0
    names = ["mle", "lazy_dagger.LazyDAgger"]
    run("compare.py", *options, f"algorithms=[{','.join(names)}]", "beams=[1]", "out=comparison")
    folder = tmp_path / "comparison"
    with open(folder / "comparison.csv", encoding="utf-8") as file:
        assert [row["algorithm"] for row in csv.DictReader(file)] == ["teacher", *names]
    config = folder / "lazy_dagger.LazyDAgger-transformer-seed0" / "config.yaml"
    assert "take: 0.7" in config.read_text()


def test_its_arguments_have_help_and_are_checked(lazy_dagger):
    assert help_lines(lazy_dagger)["take"] == "the expert takes over above this discrepancy"
    with pytest.raises(UserError, match=r"give=0\.5 take=0\.1"):
        lazy_dagger(None, None, take=0.1)
