"""What a user's own algorithm may contain, and the messages for what it may get wrong."""

from __future__ import annotations

import re
import sys

import pytest
import torch

from agents.algorithms import Algorithm
from agents.algorithms.bc import BC
from agents.discovery import find_algorithm
from agents.generation.rollout import frozen_copy
from agents.training.checkpoint import load_tensors
from agents.training.config import TrainConfig
from agents.training.saving import Checkpoints
from agents.training.trainer import train
from support.learners import batch_of, first_loss, small_policy
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError

MODULE = """
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
    def loss(self, batch, clock):
        return Loss(self.logits(batch).sum(), batch.tokens, {"kl": self.logits(batch).mean(0)})
class Unrelated: pass
def function(policy): pass
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with the user's files; it is searched for modules."""
    (tmp_path / "my_algorithms.py").write_text(MODULE)
    (tmp_path / "my_broken_file.py").write_text("def (")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield tmp_path
    sys.modules.pop("my_algorithms", None)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.Base", "ModuleNotFoundError: No module named 'nowhere'"),
        ("my_broken_file.Base", "SyntaxError: "),
        ("my_algorithms.Bear", "AttributeError: module 'my_algorithms' has no attribute 'Bear'"),
        ("my_algorithms.Unrelated", "subclass of agents.algorithms.Algorithm"),
        ("my_algorithms.function", "subclass of agents.algorithms.Algorithm"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_path_that_is_no_algorithm_is_one_line_that_names_it(path, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        find_algorithm(path)
    assert path in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nothing", "Nothing.loss returns None; give a scalar tensor or a Loss("),
        ("Pair", "Pair.loss returns a tuple; give a scalar tensor or a Loss("),
        ("Vector", "Vector.loss returns a sum that is a tensor of shape [9]; give a scalar"),
        ("Number", "Number.loss returns a sum that is a float; give a scalar tensor"),
        ("Sums", "Sums.loss returns a sum that is a tensor of shape [9]; give a scalar"),
        ("Detached", "Detached.loss returns a loss without a gradient"),
        ("Weightless", "Weightless.loss returns a Loss with the weight 0; give the number of"),
        ("Metrics", "Metrics.loss returns a metric 'kl' that is a tensor of shape [9]; give a"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_an_invalid_loss_is_one_line_that_says_what_to_return(name, message, task):
    algorithm = find_algorithm(f"my_algorithms.{name}").func(small_policy(task))
    with pytest.raises(UserError, match=re.escape(message)) as error:
        first_loss(algorithm, batch_of(task))
    assert "\n" not in str(error.value)


def test_policies_and_oracles_are_not_registered_and_other_modules_are(task):
    class Critic(torch.nn.Linear):
        vocabulary_size = 3

    class LinearOracle(torch.nn.Linear):
        vocabulary_size, queries = 3, 0
        log_probs = action = demonstrate = torch.nn.Linear.forward

    class Custom(Algorithm):
        def __init__(self, policy, oracle):
            super().__init__()
            self.policy, self.oracle, self.initial_policy = policy, oracle, frozen_copy(policy)
            self.critic, self.queries = Critic(2, 1), torch.nn.Linear(1, 1)

    algorithm = Custom(small_policy(task), LinearOracle(2, 3))
    registered = {"critic.weight", "critic.bias", "queries.weight", "queries.bias"}
    assert algorithm.state_dict().keys() == registered
    assert algorithm.oracle.weight.shape == (3, 2)


def test_a_critic_is_trained_and_saved(task, tmp_path):
    class WithCritic(BC):
        def __init__(self, policy):
            super().__init__(policy)
            self.critic = torch.nn.Linear(1, 1)

        def loss(self, batch, clock):
            return super().loss(batch, clock).mean + self.critic(torch.ones(1)).square().sum()

    algorithm = WithCritic(small_policy(task))
    before = algorithm.critic.weight.detach().clone()
    batches = Batches(task.splits["train"], 100, 0, task.limit)
    checkpoints = Checkpoints(tmp_path, "student", {})
    config = TrainConfig(4, warmup=1, validations=1)
    train(algorithm, algorithm.policy, batches, lambda: {"valid_score": 0.0}, config, checkpoints)
    saved = load_tensors(checkpoints.last)[0]["algorithm.critic.weight"]
    assert torch.equal(saved, algorithm.critic.weight)
    assert not torch.equal(saved, before)
