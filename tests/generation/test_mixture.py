"""Two writers and a plan: each writes exactly its own steps, with or without a cache, and is asked no longer than needed."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from agents.generation.decoding import beam, greedy, sample
from agents.generation.mixture import Mixture, mixed
from agents.policies.rnn import RNN
from agents.policies.transformer import Transformer
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import expert
from textgen_env.types import EOS, PAD, shift

STEPS = 7


@pytest.fixture(scope="module")
def student(task):
    return RNN(len(task.vocabulary), encoder_width=8, width=16, embedding=8)


@pytest.fixture(scope="module")
def teacher(task):
    torch.manual_seed(2)
    policy = Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16)
    return PolicyOracle(policy, partial(beam, width=2), task.vocabulary, task.vocabulary)


@pytest.fixture(scope="module")
def source(task):
    rows = [torch.from_numpy(row) for row in task.splits["train"].source[:40]]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def plan(rows, share, seed=0):
    return torch.rand(rows, STEPS, generator=torch.Generator().manual_seed(seed)) < share


class Uncached:
    """The same oracle without its cache."""

    def __init__(self, oracle):
        self.oracle, self.vocabulary_size, self.queries = oracle, oracle.vocabulary_size, 0

    def log_probs(self, source, prefix, mask=None):
        return self.oracle.log_probs(source, prefix, mask)

    def action(self, source, prefix, mask=None):
        self.queries += int(mask.sum())
        return self.log_probs(source, prefix, mask)[:, EOS:].argmax(-1) + EOS  # a decoder writes neither PAD nor BOS


def test_each_writes_its_own_steps(student, teacher, source):
    """What stands at a step is what its writer does after the prefix that both have written."""
    expert = plan(len(source), 0.5)
    written = mixed(Mixture(student, teacher, expert), source, STEPS, torch.Generator())
    taken = torch.arange(written.action.shape[1]) < written.length[:, None]
    prefix = shift(written.action)
    student.eval()
    for mine, answer in ((~expert, student(source, prefix)), (expert, teacher.log_probs(source, prefix))):
        here = taken & mine[:, : taken.shape[1]]
        assert here.any()
        assert torch.equal(written.action[here], (answer[..., EOS:].argmax(-1) + EOS)[here])
    student.train()


def test_a_cached_teacher_and_one_asked_about_prefixes_write_the_same(student, teacher, source):
    expert = plan(len(source), 0.5)
    cached, asked = (
        mixed(Mixture(student, oracle, expert), source, STEPS, torch.Generator()) for oracle in (teacher, Uncached(teacher))
    )
    assert torch.equal(cached.action, asked.action)
    assert torch.equal(cached.length, asked.length)


@pytest.mark.parametrize("draws", [False, True])
def test_an_expert_alone_acts_or_draws(student, teacher, source, draws):
    everything = plan(len(source), 2.0)
    written = mixed(
        Mixture(student, teacher, everything, draws=draws), source, STEPS, torch.Generator().manual_seed(3), top_k=0
    )
    teacher.policy.eval()
    if draws:
        alone = sample(teacher.policy, source, STEPS, torch.Generator().manual_seed(3))
    else:
        alone = greedy(teacher.policy, source, STEPS)
    assert torch.equal(written.action, alone.action)


def test_given_tokens_are_written_as_they_are(student, teacher, source):
    given = torch.full((len(source), STEPS), PAD)
    given[:, :2], given[::2, 2] = 5, 6
    written = mixed(Mixture(student, teacher, plan(len(source), 0.5), given=given), source, STEPS, torch.Generator())
    assert (written.action[:, :2] == 5).all()
    assert (written.action[::2, 2] == 6).all()
    assert not (written.action[1::2, 2] == 6).all()


def test_nobody_is_asked_after_its_last_step(student, source, task):
    class Counting(RNN):
        steps = 0

        def step(self, token, state):
            self.steps += 1
            return super().step(token, state)

    policy = Counting(len(task.vocabulary), encoder_width=8, width=16, embedding=8)
    given = torch.full((len(source), STEPS), PAD)
    given[:, :2] = 5
    early = torch.zeros(len(source), STEPS, dtype=torch.bool)
    early[:, 2:4] = True
    oracle = Uncached(PolicyOracle(student, partial(beam, width=2), task.vocabulary, task.vocabulary))
    mixed(Mixture(policy, oracle, early, given=given), source, STEPS, torch.Generator())
    assert 0 < oracle.queries <= 4 * len(source)
    mixed(Mixture(policy, oracle, ~early, given=given), source, STEPS, torch.Generator())
    assert policy.steps <= STEPS + 4
    before = policy.steps
    mixed(Mixture(policy, oracle, torch.ones_like(early), given=given), source, STEPS, torch.Generator())
    assert policy.steps == before


def test_the_policy_is_left_in_training_and_nothing_has_a_gradient(student, source, task):
    student.train()
    written = mixed(Mixture(student, expert(task), plan(len(source), 0.5)), source, STEPS, torch.Generator())
    assert student.training
    assert not written.score.requires_grad


def test_a_plan_follows_its_rows_when_finished_ones_leave(student, teacher, source, task):
    """Batched is single: with a plan that differs from row to row."""
    expert_steps = plan(len(source), 0.5, seed=4)
    batched = mixed(Mixture(student, expert(task), expert_steps), source, STEPS, torch.Generator())
    assert len(set(batched.length.tolist())) > 2
    for row in range(0, len(source), 7):
        single = mixed(
            Mixture(student, expert(task), expert_steps[row : row + 1]), source[row : row + 1], STEPS, torch.Generator()
        )
        assert torch.equal(single.action[0], batched.action[row, : batched.length[row]])
    assert isinstance(Mixture(student, teacher, expert_steps).teacher, PolicyOracle)
