"""An algorithm that lives in one file outside the packages: the worked example, and what a new one may get wrong."""

import csv
import json
import re
import sys

import pytest
import torch

from agents.algorithms import Algorithm, Loss
from agents.algorithms.bc import BC
from agents.algorithms.dagger import DAgger
from agents.generation.rollout import frozen_copy
from agents.training.checkpoint import load_tensors
from agents.training.saving import Checkpoints
from agents.training.trainer import TrainConfig, train
from cli import help_table, read
from support.commands import ROOT, TINY
from support.commands import run as run_command
from support.copying import SHORT, fit
from support.learners import START, batch_of, first_loss, small_policy
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.profiler import Profiler
from textgen_env.tasks.task import expert
from textgen_env.types import EOS

EXAMPLES = ROOT / "docs" / "examples"
LAZY = "algorithm=lazy_dagger.LazyDAgger"
FEW = [
    "env=Copy-v0",
    "env.train=300",
    "train.batch_tokens=64",
    *TINY,
    "train.steps=6",
    "train.validations=2",
]


@pytest.fixture
def lazy(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import lazy_dagger

    return lazy_dagger


def run(script, *words, cwd, code=0):
    return run_command(script, *words, cwd=cwd, code=code, path=[EXAMPLES])


def learner(task, lazy, **settings):
    return lazy.LazyDAgger(small_policy(task), expert(task), **settings)


def test_the_example_is_short_and_the_readme_shows_it():
    text = (EXAMPLES / "lazy_dagger.py").read_text()
    assert text.count("\n") < 100
    readme = (ROOT / "README.md").read_text()
    section = readme.partition("## A new algorithm in one file")[2].partition("\n## ")[0]
    shown = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    source = {line.strip() for line in text.split("\n")}
    assert [line for line in shown.split("\n") if line.strip() not in {*source, "..."}] == []


def test_the_example_solves_copy(lazy, tmp_path):
    words = [
        "precision=float32",
        "train.steps=300",
        "train.batch_tokens=256",
        "train.validations=5",
    ]
    assert fit(tmp_path, [*SHORT, LAZY, *words]) >= 99


def test_a_student_that_is_never_doubted_acts_alone_and_one_that_always_is_clones_the_expert(
    lazy, task
):
    batch = batch_of(task)
    free = learner(task, lazy, take=1.0, give=1.0)
    with Profiler({}, "rest") as profiler:
        loss = first_loss(free, batch)
    assert loss.metrics == {"expert": 0.0, "switches": 0.0}
    assert loss.weight == profiler.counts["decoded"]
    watched = learner(task, lazy, take=0.0, give=0.0)
    loss = first_loss(watched, batch)
    assert loss.metrics["expert"] == 1
    torch.testing.assert_close(
        loss.sum, first_loss(BC(watched.policy), batch).sum
    )  # the expert copies, as the data does


def test_control_changes_hands_at_the_two_thresholds(lazy, task):
    batch, policy, oracle = batch_of(task), small_policy(task).eval(), expert(task)
    with (
        torch.no_grad()
    ):  # thresholds in the middle of what occurs, so that control does change hands
        occurring = (
            1
            - policy(batch.source, batch.prefix)
            .softmax(-1)
            .gather(2, batch.target[:, :, None])[batch.mask]
        )
    give, take = occurring.quantile(torch.tensor([0.4, 0.6])).tolist()
    algorithm = lazy.LazyDAgger(policy, oracle, take, give)
    nobody = torch.zeros(len(batch), dtype=torch.bool)
    mixed = lazy.interleaved(policy, oracle, algorithm.choose)(
        batch.source, batch.limit, memory=nobody
    )
    batch = batch.with_rows(~nobody, mixed.episodes)
    with torch.no_grad():
        logits = policy(batch.source, batch.prefix)[:, :, EOS:]  # PAD and BOS are never generated
    label = oracle.action(batch.source, batch.prefix)
    discrepancy = 1 - logits.softmax(-1).gather(2, label[:, :, None] - EOS)[:, :, 0]  # [B, T]
    turns = set()
    for row in range(len(batch)):
        before = False
        for step in range(batch.length[row]):
            control = bool(discrepancy[row, step] > (give if before else take))
            assert control == mixed.expert[row, step]
            own = logits[row, step].argmax() + EOS
            assert batch.target[row, step] == (label[row, step] if control else own)
            turns.add((before, control))
            before = control
    assert turns == {(False, False), (False, True), (True, False), (True, True)}


def test_the_example_runs_and_is_compared_like_any_other(tmp_path):
    run("dagger.py", *FEW, LAZY, "algorithm.take=0.7", "out=run", cwd=tmp_path)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["algorithm"] == "lazy_dagger.LazyDAgger"
    assert results["cost"]["student_tokens_decoded"] == results["cost"]["gradient_tokens"] > 0
    words = ["algorithms=[mle,lazy_dagger.LazyDAgger]", "algorithm.take=0.7", "beams=[1]", "out=c"]
    run("compare.py", *FEW, *words, cwd=tmp_path)
    with open(tmp_path / "c" / "comparison.csv", encoding="utf-8") as file:
        assert [row["algorithm"] for row in csv.DictReader(file)] == [
            "teacher",
            "mle",
            "lazy_dagger.LazyDAgger",
        ]
    assert (
        "take: 0.7"
        in (tmp_path / "c" / "lazy_dagger.LazyDAgger-transformer-seed0" / "config.yaml").read_text()
    )


def test_its_keys_have_help_and_are_checked(lazy):
    table = help_table("dagger", ["env=Copy-v0", LAZY])
    meaning = dict(zip(*(map(str, table.columns[i].cells) for i in (0, 2)), strict=True))
    assert meaning["algorithm.take"] == "the expert takes over above this discrepancy"
    with pytest.raises(
        UserError, match=r"unknown key 'algorithm\.tkae'; did you mean 'algorithm\.take'\?"
    ):
        read("dagger", [LAZY, "algorithm.tkae=1"])
    with pytest.raises(UserError, match=r"give=0\.5 take=0\.1"):
        lazy.LazyDAgger(None, None, take=0.1)


def test_an_oracle_or_policy_that_is_a_module_is_held_and_other_modules_are_its_own(task):
    class Module(Algorithm):
        def __init__(self, policy, oracle):
            super().__init__()
            self.policy, self.oracle, self.start = policy, oracle, frozen_copy(policy)
            self.critic, self.queries = Critic(2, 1), torch.nn.Linear(1, 1)

    class Critic(torch.nn.Linear):
        vocabulary_size = 3

    class Expert(torch.nn.Linear):
        vocabulary_size, queries = 3, 0
        log_probs = action = demonstrate = torch.nn.Linear.forward

    algorithm = Module(small_policy(task), Expert(2, 3))
    assert algorithm.state_dict().keys() == {
        "critic.weight",
        "critic.bias",
        "queries.weight",
        "queries.bias",
    }
    assert algorithm.oracle.weight.shape == (3, 2)


def test_a_critic_that_knows_the_size_of_the_vocabulary_is_trained_and_saved(task, tmp_path):
    class Critic(torch.nn.Linear):
        vocabulary_size = 3

    class Criticised(BC):
        def __init__(self, policy):
            super().__init__(policy)
            self.critic = Critic(1, 1)

        def loss(self, batch, clock):
            return super().loss(batch, clock).mean + self.critic(torch.ones(1)).square().sum()

    algorithm = Criticised(small_policy(task))
    before = algorithm.critic.weight.detach().clone()
    batches, files = (
        Batches(task.splits["train"], 100, 0, task.limit),
        Checkpoints(tmp_path, "student", {}),
    )
    train(
        algorithm,
        algorithm.policy,
        batches,
        lambda: {"valid_score": 0.0},
        TrainConfig(4, warmup=1, validations=1),
        files,
    )
    saved = load_tensors(files.last)[0]["algorithm.critic.weight"]
    assert torch.equal(saved, algorithm.critic.weight)
    assert not torch.equal(saved, before)


@pytest.mark.parametrize("group", [1, 2])
def test_dagger_trains_on_its_loss_batch_by_batch_and_on_the_roll_ins_of_a_group(task, group):
    class Doubled(DAgger):
        def loss(self, batch, clock):
            loss = super().loss(batch, clock)
            return Loss(loss.sum * 2, loss.weight, loss.metrics)

    policy, batches = small_policy(task), [batch_of(task, number) for number in range(group)]
    plain, doubled = (kind(policy, expert(task), group=group) for kind in (DAgger, Doubled))
    losses = [[loss.sum for loss in each.updates(batches, START)] for each in (plain, doubled)]
    torch.testing.assert_close(losses[1], [loss * (2 if group == 1 else 1) for loss in losses[0]])


WRONG = """
from agents.algorithms import Algorithm, Loss
class Base(Algorithm):
    def __init__(self, policy):
        super().__init__()
        self.policy = policy
    def logits(self, batch): return self.policy(batch.source, batch.prefix, batch.mask)
class Nothing(Base):
    def loss(self, batch, clock): pass
class Pair(Base):
    def loss(self, batch, clock): return self.logits(batch).mean(), {}
class Vector(Base):
    def loss(self, batch, clock): return self.logits(batch).mean(0)
class Number(Base):
    def loss(self, batch, clock): return Loss(self.logits(batch).sum().item(), batch.tokens)
class Sums(Base):
    def loss(self, batch, clock): return Loss(self.logits(batch).sum(0), batch.tokens)
class Detached(Base):
    def loss(self, batch, clock): return self.logits(batch).mean().detach()
class Weightless(Base):
    def loss(self, batch, clock): return Loss(self.logits(batch).sum(), 0)
class Metrics(Base):
    def loss(self, batch, clock): return Loss(self.logits(batch).sum(), batch.tokens, {"kl": self.logits(batch).mean(0)})
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
        ("nowhere.Base", "ModuleNotFoundError: No module named 'nowhere'; give module.Class"),
        ("broken_algorithms.Base", "SyntaxError: "),
        (
            "wrong_algorithms.Bear",
            "AttributeError: module 'wrong_algorithms' has no attribute 'Bear'",
        ),
        (
            "wrong_algorithms.Unrelated",
            "is no Algorithm: give a subclass of agents.algorithms.Algorithm",
        ),
        ("wrong_algorithms.function", "is no Algorithm"),
        ("wrong_algorithms", "give module.Class of an importable file"),
    ],
)
@pytest.mark.usefixtures("wrong")
def test_a_file_that_offers_no_algorithm_is_one_line(target, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        read("dagger", ["env=Copy-v0", f"algorithm={target}"])
    assert str(error.value).startswith(f"algorithm={target}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Nothing",
            "Nothing.loss returns None; give a scalar tensor or a Loss(sum, weight, metrics)",
        ),
        ("Pair", "Pair.loss returns a tuple; give a scalar tensor or a Loss(sum, weight, metrics)"),
        ("Vector", "Vector.loss returns a sum that is a tensor of shape [12]; give a scalar"),
        ("Number", "Number.loss returns a sum that is a float; give a scalar tensor"),
        ("Sums", "Sums.loss returns a sum that is a tensor of shape [12]; give a scalar tensor"),
        ("Detached", "Detached.loss returns a loss without a gradient"),
        (
            "Weightless",
            "Weightless.loss returns a Loss with the weight 0; give the number of positions or episodes",
        ),
        (
            "Metrics",
            "Metrics.loss returns a metric 'kl' that is a tensor of shape [12]; give a number or a scalar tensor",
        ),
    ],
)
@pytest.mark.usefixtures("wrong")
def test_a_loss_that_cannot_be_trained_on_is_one_line(name, message, tmp_path):
    with pytest.raises(UserError, match=re.escape(message)):
        fit(
            tmp_path / "run",
            ["env=Copy-v0", "train.steps=1", f"algorithm=wrong_algorithms.{name}"],
        )


def test_misuse_ends_a_command_with_exit_code_two(tmp_path):
    (tmp_path / "wrong_algorithms.py").write_text(WRONG)  # the working directory is searched too
    said = run(
        "dagger.py",
        *FEW,
        "algorithm=wrong_algorithms.Nothing",
        "out=run",
        cwd=tmp_path,
        code=2,
    )
    assert "Traceback" not in said
    assert (
        said.strip()
        .split("\n")[-1]
        .startswith("error: Nothing.loss returns None; give a scalar tensor or a Loss(")
    )
