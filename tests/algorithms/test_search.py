"""Learning from an oracle and a reward: MiniLLM, LOLS and AggreVaTeD against exact gradients; costs to go."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from agents.algorithms import Clock
from agents.algorithms.aggrevated import AggreVaTeD
from agents.algorithms.lols import LOLS
from agents.algorithms.minillm import MiniLLM
from agents.discovery import build
from agents.estimators.cost_to_go import cost_to_go, oracle_rollout, student_rollout
from support.enumerable import (
    SENTENCES,
    A,
    B,
    Table,
    TableOracle,
    assert_mean,
    episodes,
    gradient,
    log_prob,
    next_token,
)
from textgen_env.envs import rewards
from textgen_env.errors import UserError
from textgen_env.profiler import Profiler
from textgen_env.tasks import copy, tightrope
from textgen_env.tasks.task import expert
from textgen_env.types import EOS, Batch

DATA = (A, B, EOS)


def worth(sentence):
    """What each action earns: something at every step, that depends on all before it."""
    return [
        ((5 * sum(a * 3**i for i, a in enumerate(sentence[: t + 1])) + 3 * t) % 11 - 5) / 3
        for t in range(len(sentence))
    ]


def reward(index, trajectories):
    rewards = np.zeros(trajectories.action.shape)
    for row, (action, length) in enumerate(
        zip(trajectories.action.tolist(), trajectories.length.tolist(), strict=True)
    ):
        rewards[row, :length] = worth(action[:length])
    return rewards


def learner(make, reward=reward, **settings):
    return build(make, settings, policy=Table(1), oracle=TableOracle(2), reward=reward)


def estimates(algorithm, sentence=DATA, rounds=50, rows=200):
    """Gradients ``[rounds, 13, 5]`` of the loss."""
    batch = episodes([sentence] * rows)
    losses = (algorithm.loss(batch, Clock(seed, 1, 2)) for seed in range(rounds))
    return torch.stack([gradient(algorithm.policy, loss.mean) for loss in losses])


def followed(policy, sentence, steps=3):
    """``sentence`` continued to its end by the most likely tokens."""
    while len(sentence) < steps and sentence[-1:] != (EOS,):
        sentence = (*sentence, int(next_token(policy, sentence).argmax()))
    return sentence


def cost(policy, before, action):
    """Minus what ``action`` and all that ``policy`` then generates earn."""
    return -sum(worth(followed(policy, (*before, action)))[len(before) :])


# --- MiniLLM


def sequence_kl(algorithm, sentences):
    q = torch.stack([log_prob(algorithm.policy, sentence) for sentence in sentences])
    p = torch.stack([log_prob(algorithm.oracle, sentence) for sentence in sentences])
    return gradient(algorithm.policy, (q.exp() * (q - p)).sum())


@pytest.mark.parametrize(("rounds", "rows"), [(50, 200), (2000, 1)])
def test_minillm_is_an_unbiased_gradient_of_the_reverse_kl_of_sequences(rounds, rows):
    algorithm = learner(MiniLLM, teacher_mix=0.0, length_normalized=False)
    assert_mean(
        len(DATA) * estimates(algorithm, rounds=rounds, rows=rows),
        sequence_kl(algorithm, SENTENCES),
    )


def test_minillm_without_the_teacher_queries_it_only_about_what_was_generated():
    algorithm = learner(MiniLLM, teacher_mix=0.0)
    loss = algorithm.loss(episodes([DATA] * 20), Clock(0, 1, 2))
    assert algorithm.oracle.queries == loss.tokens


def test_minillm_weighs_what_the_teacher_helped_to_generate():
    """With a single step, the approximate weight is the exact one."""
    algorithm = learner(MiniLLM, teacher_mix=0.5)
    assert_mean(estimates(algorithm, sentence=(A,)), sequence_kl(algorithm, [(EOS,), (A,), (B,)]))


def test_the_single_step_split_has_less_variance_than_the_plain_likelihood_ratio():
    algorithm = learner(MiniLLM, teacher_mix=0.0, length_normalized=False)
    policy, oracle = algorithm.policy, algorithm.oracle
    plain = torch.stack(
        [
            gradient(
                policy, (log_prob(policy, y) - log_prob(oracle, y)).detach() * log_prob(policy, y)
            )
            for y in SENTENCES
        ]
    )
    chance = torch.stack([log_prob(policy, y) for y in SENTENCES]).exp().detach()[:, None, None]
    variance = (chance * plain.square()).sum(0) - (chance * plain).sum(0).square()
    assert (len(DATA) * estimates(algorithm, rounds=200, rows=1)).var(0).sum() < variance.sum()


def test_what_comes_after_a_step_is_summed_or_averaged():
    mask = torch.tensor([[True, True, True], [True, False, False]])
    reward = torch.tensor([1.0, 2.0, 4.0, 8.0])
    assert learner(MiniLLM, length_normalized=False).after(reward, mask).tolist() == [
        6.0,
        4.0,
        0.0,
        0.0,
    ]
    assert learner(MiniLLM).after(reward, mask).tolist() == [3.0, 4.0, 0.0, 0.0]


# --- AggreVaTeD and LOLS


@pytest.mark.parametrize("rate", [0.0, 0.7])
def test_aggrevated_is_an_unbiased_gradient_of_the_expected_cost_to_go(rate):
    algorithm = learner(AggreVaTeD, beta="constant", rate=rate, actions=3)
    policy, expected = algorithm.policy, 0.0
    for sentence in SENTENCES:
        chance = (1 - rate) * log_prob(policy, sentence).exp().detach() + rate * (sentence == DATA)
        for time in range(len(sentence)):
            now = next_token(policy, sentence[:time]).exp()
            costs = sum(now[a] * cost(algorithm.oracle, sentence[:time], a) for a in (EOS, A, B))
            expected = expected + chance * costs / len(sentence)
    assert_mean(estimates(algorithm), gradient(policy, expected))


def test_lols_is_an_unbiased_gradient_of_the_regret_under_both_roll_outs():
    algorithm = learner(LOLS, actions=2, expert_share=0.3)
    policy, oracle, expected = algorithm.policy, algorithm.oracle, 0.0
    sentence = followed(policy, ())
    for time in range(len(sentence)):
        before = sentence[:time]
        now, best = next_token(policy, before), int(next_token(oracle, before).argmax())
        tried = [best, next(a for a in now.argsort(descending=True).tolist() if a != best)]
        costs = [0.3 * cost(oracle, before, a) + 0.7 * cost(policy, before, a) for a in tried]
        expected = expected + (now[tried].softmax(-1) * torch.tensor(costs)).sum() / len(sentence)
    assert_mean(estimates(algorithm), gradient(policy, expected))


def test_where_all_actions_cost_the_same_lols_learns_nothing():
    algorithm = learner(
        LOLS, lambda index, trajectories: np.zeros(trajectories.action.shape), actions=2
    )
    assert estimates(algorithm, rounds=3).abs().max() == 0


@pytest.mark.parametrize("make", [MiniLLM, LOLS, AggreVaTeD])
def test_actions_are_scored_by_the_policy_that_generates_which_is_without_dropout(make):
    algorithm, modes = learner(make, **{} if make is MiniLLM else {"actions": 2}), set()
    algorithm.policy.register_forward_hook(lambda policy, *_: modes.add(policy.training))
    algorithm.policy.train()
    algorithm.loss(episodes([DATA] * 4), Clock(0, 1, 2))
    assert modes == {False}
    assert algorithm.policy.training


# --- costs to go


@pytest.mark.parametrize(
    "load", [copy.load, tightrope.load, partial(tightrope.load, recoverable=False)]
)
def test_the_exact_cost_to_go_is_that_of_rolling_out_the_oracle(load):
    task = load(train=30, valid=5, test=5)
    oracle, size = expert(task), len(task.vocabulary)
    pay = lambda index, episodes: rewards.score_trajectories(
        rewards.make(task.reward, task, oracle), task, "train", index, episodes
    )
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(20)
    source = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(task.splits["train"].source[i]) for i in index], batch_first=True
    )
    target = torch.randint(3, size, (20, task.horizon), generator=generator)
    length = torch.full((20,), task.horizon)
    batch = Batch(index, source, target, length, limit=length, row=index)
    time = torch.randint(task.horizon, (20,), generator=generator)
    now = torch.arange(task.horizon) == time[:, None]
    action = torch.arange(EOS, size).expand(20, -1)
    with Profiler({}, "") as profiler:
        costs = cost_to_go(oracle_rollout(oracle), pay, batch, time, action)
    torch.testing.assert_close(costs, oracle.cost_to_go(batch.source, batch.prefix, now)[:, EOS:])
    assert "decoded" not in profiler.counts


def test_a_roll_out_of_the_student_is_decoded_from_the_action_on():
    batch, policy, scored = episodes([DATA, (B, B, B), (A, A, EOS)]), Table(1), []

    def spy(index, trajectories):
        scored.append(trajectories)
        return reward(index, trajectories)

    time, action = torch.tensor([0, 1, 2]), torch.tensor([[A, EOS], [B, A], [A, B]])
    with Profiler({}, "") as profiler:
        costs = cost_to_go(student_rollout(policy), spy, batch, time, action)
    states = ((), (B,), (A, A))
    expected = [
        [cost(policy, before, a) for a in tried]
        for before, tried in zip(states, action.tolist(), strict=True)
    ]
    torch.testing.assert_close(costs, torch.tensor(expected))
    assert profiler.counts["decoded"] == sum(
        n - t - 1 for n, t in zip(scored[0].length.tolist(), [0, 0, 1, 1, 2, 2], strict=True)
    )


def test_aggrevated_exact_is_the_mean_cost_over_all_steps():
    task = copy.load(train=30, valid=5, test=5)
    policy = Always(len(task.vocabulary), token=3)
    algorithm = AggreVaTeD(
        policy, expert(task), reward, cost_to_go="exact", beta="constant", rate=1.0
    )
    target, length, row = (
        torch.tensor([[3, 4, 3, EOS]]),
        torch.tensor([4]),
        torch.zeros(1, dtype=torch.int64),
    )
    loss = algorithm.loss(Batch(row, target, target, length, limit=length, row=row), Clock(0, 0, 1))
    assert float(loss.metrics["cost"]) == pytest.approx(0.5, abs=1e-3)  # right twice in four steps
    assert loss.mean.item() == pytest.approx(0.5, abs=1e-3)


class Always(torch.nn.Module):
    def __init__(self, size, token):
        super().__init__()
        self.vocabulary_size = size
        self.logits = torch.nn.Parameter(
            torch.zeros(size).index_fill(0, torch.tensor([token]), 20.0)
        )

    def forward(self, source, prefix, mask):
        return self.logits.expand(int(mask.sum()), -1)


# --- mistakes


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (MiniLLM, {"teacher_mix": 1.0}, "teacher_mix=1.0: a number of at least 0 and less than 1"),
        (AggreVaTeD, {"cost_to_go": "true"}, "unknown cost_to_go 'true'"),
        (
            AggreVaTeD,
            {"cost_to_go": "exact"},
            "cost_to_go=exact needs the exact oracle of a tabular task",
        ),
        (AggreVaTeD, {"actions": 1}, "actions=1"),
        (LOLS, {"expert_share": 2}, "expert_share=2: a number of at least 0 and at most 1"),
        (LOLS, {"actions": 9}, "actions=9: a number of at least 2 and at most 3"),
    ],
)
def test_settings_out_of_range_are_one_clear_line(make, settings, message):
    with pytest.raises(UserError, match=message):
        learner(make, **settings)


@pytest.mark.parametrize("make", [MiniLLM, AggreVaTeD, LOLS])
def test_without_an_expert_an_imitator_says_so(make):
    with pytest.raises(UserError, match=f"{make.__name__} needs an oracle, and there is none here"):
        build(make, {}, policy=Table(0), oracle=None, reward=reward)


@pytest.mark.parametrize("make", [AggreVaTeD, LOLS])
def test_a_reward_that_is_not_finite_is_named(make):
    algorithm = learner(
        make, lambda index, trajectories: np.full(trajectories.action.shape, np.nan), actions=2
    )
    with pytest.raises(UserError, match="the reward of training row 0 at step 1 is nan"):
        algorithm.loss(episodes([DATA]), Clock(0, 1, 2))
