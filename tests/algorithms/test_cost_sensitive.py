"""AggreVaTeD and LOLS against exact gradients of costs-to-go."""

from __future__ import annotations

import pytest
import torch

from agents.algorithms.aggrevated import AggreVaTeD
from agents.algorithms.lols import LOLS
from agents.algorithms.minillm import MiniLLM
from agents.discovery import build
from support.enumerable import (
    REFERENCE,
    SENTENCES,
    TOKENS,
    Table,
    TableOracle,
    as_batch,
    assert_mean,
    completed,
    constant_reward,
    exact_cost_to_go,
    gradient,
    log_prob,
    loss_at,
    next_token,
    reward,
    sampled_gradients,
)
from textgen_env.errors import UserError
from textgen_env.tasks import copy
from textgen_env.tasks.task import expert
from textgen_env.types import EOS, Batch


def learner(kind, reward=reward, **settings):
    return build(kind, settings, policy=Table(1), oracle=TableOracle(2), reward=reward)


@pytest.mark.parametrize("rate", [0.0, 0.7])
def test_aggrevated_is_unbiased_for_the_expected_cost_to_go(rate):
    algorithm = learner(AggreVaTeD, beta="constant", rate=rate, actions=3)
    policy, oracle, expected = algorithm.policy, algorithm.oracle, 0.0
    for sentence in SENTENCES:
        probability = (1 - rate) * log_prob(policy, sentence).exp().detach()
        probability += rate * (sentence == REFERENCE)
        for time in range(len(sentence)):
            prefix = sentence[:time]
            action_probs = next_token(policy, prefix).exp()
            cost = sum(action_probs[a] * exact_cost_to_go(oracle, prefix, a) for a in TOKENS)
            expected = expected + probability * cost / len(sentence)
    assert_mean(sampled_gradients(algorithm), gradient(policy, expected))


def test_lols_is_unbiased_for_the_regret_under_both_roll_outs():
    algorithm = learner(LOLS, actions=2, expert_share=0.3)
    policy, oracle, expected = algorithm.policy, algorithm.oracle, 0.0
    sentence = completed(policy, ())
    for time in range(len(sentence)):
        prefix = sentence[:time]
        log_probs, best = next_token(policy, prefix), int(next_token(oracle, prefix).argmax())
        likely = log_probs.argsort(descending=True).tolist()
        actions = [best, next(a for a in likely if a != best)]
        costs = [
            0.3 * exact_cost_to_go(oracle, prefix, a) + 0.7 * exact_cost_to_go(policy, prefix, a)
            for a in actions
        ]
        cost = (log_probs[actions].softmax(-1) * torch.tensor(costs)).sum()
        expected = expected + cost / len(sentence)
    assert_mean(sampled_gradients(algorithm), gradient(policy, expected))


def test_lols_has_no_gradient_if_all_actions_cost_the_same():
    algorithm = learner(LOLS, constant_reward(0.0), actions=2)
    assert sampled_gradients(algorithm, rounds=3).abs().max() == 0


def test_aggrevated_exact_is_the_mean_cost_over_all_steps():
    """The student always repeats the first symbol: right twice in four steps."""
    task = copy.load(train=30, valid=5, test=5)
    algorithm = AggreVaTeD(
        ConstantPolicy(len(task.vocabulary), token=3),
        expert(task),
        reward,
        cost_to_go="exact",
        beta="constant",
        rate=1.0,
    )
    target, length, row = torch.tensor([[3, 4, 3, EOS]]), torch.tensor([4]), torch.tensor([0])
    loss = loss_at(algorithm, Batch(row, target, target, length, limit=length, row=row))
    assert float(loss.metrics["cost"]) == pytest.approx(0.5, abs=1e-3)
    assert loss.mean.item() == pytest.approx(0.5, abs=1e-3)


class ConstantPolicy(torch.nn.Module):
    """Generates ``token`` with a probability of almost 1."""

    def __init__(self, size, token):
        super().__init__()
        self.vocabulary_size = size
        self.logits = torch.nn.Parameter(20.0 * torch.eye(size)[token])

    def features(self, source, prefix, mask):
        return torch.ones(int(mask.sum()), 1)

    def head(self, features):
        return features * self.logits


@pytest.mark.parametrize("kind", [MiniLLM, LOLS, AggreVaTeD])
def test_losses_are_computed_without_dropout_as_in_generation(kind):
    algorithm, modes = learner(kind, **{} if kind is MiniLLM else {"actions": 2}), set()
    algorithm.policy.register_forward_hook(lambda policy, *_: modes.add(policy.training))
    algorithm.policy.train()
    loss_at(algorithm, as_batch([REFERENCE] * 4))
    assert modes == {False}
    assert algorithm.policy.training


@pytest.mark.parametrize("kind", [AggreVaTeD, LOLS])
def test_a_reward_that_is_not_finite_is_an_error(kind):
    algorithm = learner(kind, constant_reward(float("nan")), actions=2)
    with pytest.raises(UserError, match="the reward of training row 0 at step 1 is nan"):
        loss_at(algorithm, as_batch([REFERENCE]))
