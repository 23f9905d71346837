"""Learning from rewards: every estimator against the exact gradient of a task with fifteen sentences and its definition."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import agents.algorithms
from agents.algorithms import Clock
from agents.algorithms.gold import Gold
from agents.algorithms.mixer import Mixer
from agents.algorithms.mrt import MRT, is_duplicate
from agents.algorithms.ppo import PPO
from agents.algorithms.reinforce import Reinforce
from agents.algorithms.rloo import RLOO
from agents.algorithms.scst import SCST
from agents.discovery import build, variants
from agents.estimators.baselines import Critic, RunningMean
from agents.estimators.episodes import generate_episodes, log_probs_of
from agents.estimators.returns import generalized_advantage, padded, rewards_to_go
from agents.generation.decoding import allowed_log_probs
from agents.model import build_policy
from support.enumerable import SENTENCES, A, B, Table, assert_mean, episodes, gradient
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.profiler import Profiler
from textgen_env.tasks.task import expert
from textgen_env.types import BOS, EOS, Trajectories

LEARNERS = ("reinforce", "rloo", "scst", "mixer", "mrt", "ppo", "gold", "gold_p", "gold_s")
DATA = (A, B, EOS)


def worth(sentence, index=0):
    """What each action earns: something at every step that depends on all before it, and on the row."""
    return [
        ((7 * sum(a * 3**i for i, a in enumerate(sentence[: t + 1])) + 3 * t) % 11 - 4) / 4 + index
        for t in range(len(sentence))
    ]


def reward(index, trajectories):
    rewards = np.zeros(trajectories.action.shape)
    rows = zip(index, trajectories.action.tolist(), trajectories.length.tolist(), strict=True)
    for row, (number, action, length) in enumerate(rows):
        rewards[row, :length] = worth(action[:length], int(number))
    return rewards


def learner(make, policy=None, reward=reward, **settings):
    return build(make, settings, policy=policy or Table(0), reward=reward)


def first_loss(algorithm, batch, progress=0.5, seed=0):
    """The first loss of a round at that share of the training."""
    return next(algorithm.updates([batch], Clock(seed, round(progress * 1000), 1000)))


def estimates(algorithm, rounds=100, rows=120, progress=0.5):
    """Gradients ``[rounds, 13, 5]`` of the loss, turned into those of what is maximized."""
    batch = episodes([DATA] * rows)
    losses = (first_loss(algorithm, batch, progress, seed) for seed in range(rounds))
    return torch.stack([-gradient(algorithm.policy, loss.mean) for loss in losses])


def total(sentence):
    return sum(worth(sentence))


def exact(policy, value, forced=()):
    """The gradient of Σ_y π(y) value(y) over all sentences that begin with ``forced``, by enumeration."""
    sentences = [s for s in SENTENCES if s[: len(forced)] == forced[: len(s)]]
    chance = log_probs_of(policy, episodes(sentences))[0][:, len(forced) :].sum(1).exp()
    return gradient(policy, (chance * torch.tensor([value(s) for s in sentences])).sum())


def moved(policy, seed=9):
    """``policy``, whose weights are others now."""
    policy.table.data += torch.randn(13, 5, generator=torch.Generator().manual_seed(seed))
    return policy


def small(task, dropout=0.0):
    settings = {"layers": 1, "width": 16, "heads": 2, "ffn": 16, "dropout": dropout}
    return build_policy("transformer", settings, task.vocabulary, seed=0)


# --- episodes


def test_there_are_fifteen_sentences_and_their_probabilities_sum_to_one():
    assert len(SENTENCES) == 15
    chance = log_probs_of(Table(0), episodes(SENTENCES))[0].sum(1).exp()
    torch.testing.assert_close(chance.sum(), torch.tensor(1.0))


def test_sentences_come_as_often_as_the_log_probabilities_say():
    policy = Table(0)
    chances = log_probs_of(policy, episodes(SENTENCES))[0].sum(1).exp().tolist()
    batch = generate_episodes(
        policy, reward, episodes([DATA] * 1000), Clock(0, 0, 1).uniform, samples=4
    ).batch
    generated = [
        tuple(row[:n]) for row, n in zip(batch.target.tolist(), batch.length.tolist(), strict=True)
    ]
    for sentence, chance in zip(SENTENCES, chances, strict=True):
        assert (
            abs(generated.count(sentence) / 4000 - chance)
            < 4 * (chance * (1 - chance) / 4000) ** 0.5
        )


def test_a_row_has_the_same_samples_in_whatever_batch_it_stands():
    """Also in one with a smaller limit."""
    batch, uniform = episodes([DATA] * 20), Clock(3, 5, 9).uniform
    batch.limit[::2] = 1
    whole = generate_episodes(Table(0), reward, batch, uniform, samples=3)
    for which in (slice(0, None, 2), slice(1, None, 2)):
        part = generate_episodes(
            Table(0), reward, batch.rows(torch.arange(20)[which]), uniform, samples=3
        )
        for one, other in ((whole.batch.target, part.batch.target), (whole.rewards, part.rewards)):
            assert torch.equal(
                one.unflatten(0, (20, 3))[which].flatten(0, 1)[:, : other.shape[1]], other
            )


@pytest.mark.parametrize("name", LEARNERS)
def test_the_first_losses_of_the_parts_of_a_batch_add_up(name):
    """Rows have limits of their own, rewards at every step, and several samples."""
    batch = episodes([DATA, (B, EOS), (A, A, B)] * 4)
    batch.limit[::2] = 2
    whole, *parts = (
        first_loss(learner(variants(agents.algorithms)[name]), batch.rows(rows))
        for rows in (torch.arange(12), torch.arange(0, 12, 2), torch.arange(1, 12, 2))
    )
    assert whole.weight == sum(part.weight for part in parts)
    torch.testing.assert_close(whole.sum, sum(part.sum for part in parts))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_reward_that_is_not_finite_stops_the_training(bad):
    def pays(index, trajectories):
        rewards = np.zeros(trajectories.action.shape)
        rewards[2, 0] = bad
        return rewards

    batch = replace(episodes([(A, EOS)] * 3), index=torch.full((3,), 5))
    with pytest.raises(
        UserError, match=f"the reward of training row 5 at step 1 is {bad}: rewards must be finite"
    ):
        first_loss(learner(Reinforce, reward=pays), batch)


# --- gradients


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (Reinforce, {"baseline": "running"}),
        (Reinforce, {"baseline": "critic"}),
        (Reinforce, {"baseline": "running", "samples": 3}),
        (RLOO, {"samples": 2}),
        (RLOO, {"samples": 5}),
        (SCST, {}),
        (SCST, {"samples": 2}),
        (Mixer, {}),
        (PPO, {"epochs": 1, "trace": 1.0, "kl": 0.0}),
    ],
)
def test_policy_gradients_are_unbiased(make, settings):
    """With a baseline far from zero, which must not matter."""
    algorithm = learner(make, **settings)
    for module in algorithm.modules():
        if isinstance(module, Critic):
            nn.init.normal_(module.weight, generator=torch.Generator().manual_seed(0))
    assert_mean(estimates(algorithm, progress=0.9), exact(algorithm.policy, total))


def test_ppo_pays_for_the_distance_to_the_start():
    """The gradient is that of E[reward] - kl · KL(π ‖ π₀)."""
    policy = Table(0)
    algorithm = learner(PPO, policy, epochs=1, trace=1.0, kl=0.7, samples=1)
    moved(policy)

    @torch.no_grad()
    def value(sentence):
        now, start = (
            log_probs_of(p, episodes([sentence]))[0].sum()
            for p in (policy, algorithm.initial_policy)
        )
        return total(sentence) - 0.7 * float(now - start)

    assert_mean(estimates(algorithm), exact(policy, value))


@pytest.mark.parametrize("trace", [0.0, 0.5])
def test_generalized_advantages_with_the_true_values_are_unbiased_for_any_trace(trace):
    """A one-step estimate needs the true value of every state: here the critic is a table, and can hold it."""
    policy, values = Table(0), torch.zeros(13)
    for prefix in ((), (A,), (B,), (A, A), (A, B), (B, A), (B, B)):
        batch = episodes([s for s in SENTENCES if s[: len(prefix)] == prefix])
        chance = log_probs_of(policy, batch)[0].detach()[:, len(prefix) :].sum(1).exp()
        state = policy.features(batch.source, batch.prefix)[0, len(prefix)].argmax()
        rewards = torch.from_numpy(
            reward(batch.index, Trajectories(batch.target, batch.length, chance))
        )
        values[state] = (chance * rewards[:, len(prefix) :].sum(1)).sum()
    algorithm = learner(PPO, policy, epochs=1, trace=trace, kl=0.0)
    algorithm.critic.weight.data = values
    algorithm.critic.running.rate, algorithm.critic.running.updates = (
        0.0,
        torch.tensor(torch.inf),
    )  # and the mean stays 0
    assert_mean(estimates(algorithm), exact(policy, total))


def test_mixer_learns_the_head_by_cross_entropy_and_the_tail_by_reinforce():
    algorithm = learner(Mixer, delta=1, anneal=1.0)
    heads = [
        algorithm.head(torch.tensor([3, 1]), progress).tolist()
        for progress in (0.0, 0.2, 0.3, 0.6, 0.8, 0.999)
    ]
    assert heads == [[3, 1], [3, 1], [2, 1], [1, 0], [0, 0], [0, 0]]
    policy, data = algorithm.policy, episodes([DATA])
    log_probs = log_probs_of(policy, data)[0]
    likelihood = gradient(policy, log_probs.sum())
    torch.testing.assert_close(-gradient(policy, first_loss(algorithm, data, 0.0).mean), likelihood)
    head = gradient(policy, log_probs_of(policy, data)[0][0, 0])
    tail = exact(policy, total, forced=(A,))
    assert_mean(estimates(algorithm, progress=0.6), head + tail)
    with Profiler({}, "") as profiler:
        loss = first_loss(algorithm, data, 0.6)
    assert loss.metrics["head"] == 1
    assert profiler.counts["decoded"] == loss.tokens - 1


@pytest.mark.parametrize("reference", [False, True])
def test_mrt_is_the_expected_risk_over_its_distinct_candidates(reference):
    scored = []

    def spy(index, trajectories):
        scored.append(trajectories)
        return reward(index, trajectories)

    algorithm = learner(MRT, reward=spy, samples=12, alpha=0.3, reference=reference)
    policy, targets = algorithm.policy, (DATA, (B, EOS))
    loss = first_loss(algorithm, episodes(list(targets))).mean
    (candidates,) = scored
    rows = [
        tuple(row[:n])
        for row, n in zip(candidates.action.tolist(), candidates.length.tolist(), strict=True)
    ]
    risk, size = torch.zeros(()), 12 + reference
    for one, target in zip((rows[:size], rows[size:]), targets, strict=True):
        assert (one[-1] == target) or not reference
        distinct = sorted(set(one))
        assert len(distinct) < len(one)
        chance = log_probs_of(policy, episodes(distinct))[0].sum(1).exp() ** 0.3
        risk = risk - (chance / chance.sum() * torch.tensor([total(s) for s in distinct])).sum() / 2
    torch.testing.assert_close(loss, risk)
    torch.testing.assert_close(gradient(policy, loss), gradient(policy, risk))


def test_mrt_over_every_sentence_is_the_expected_reward():
    """With α = 1 and all there is to say as candidates, Q is the policy."""
    policy = Table(0)
    log_probs = log_probs_of(policy, episodes(SENTENCES))[0].sum(1)
    risk = -(log_probs.softmax(0) * torch.tensor([total(sentence) for sentence in SENTENCES])).sum()
    torch.testing.assert_close(-gradient(policy, risk), exact(policy, total))


def test_only_later_candidates_are_repeats():
    candidates = torch.tensor([[[A, EOS], [B, EOS], [A, EOS], [A, B], [A, EOS]]])
    assert is_duplicate(candidates).tolist() == [[False, False, True, False, True]]


def test_ppo_steps_several_times_on_the_same_episodes():
    scored = []

    def spy(index, trajectories):
        scored.append(trajectories)
        return reward(index, trajectories)

    algorithm = learner(PPO, reward=spy, epochs=3)
    optimizer = torch.optim.SGD(algorithm.policy.parameters(), lr=1.0)
    losses = []
    for step in (0, 3):
        for loss in algorithm.updates([episodes([DATA] * 30)], Clock(0, step, 6)):
            optimizer.zero_grad()
            loss.mean.backward()
            optimizer.step()
            losses.append(loss)
    assert [loss.tokens for loss in losses] == [
        int(one.length.sum()) for one in scored for _ in range(3)
    ]
    assert [float(loss.metrics["clipped"]) > 0 for loss in losses] == [False, True, True] * 2


@pytest.mark.parametrize(
    ("shift", "advantage", "flows"),
    [
        (1.0, 1.0, False),
        (1.0, -1.0, True),
        (-1.0, -1.0, False),
        (-1.0, 1.0, True),
        (0.0, 1.0, True),
    ],
)
def test_ppo_clips_only_what_would_go_further_the_same_way(shift, advantage, flows):
    """A ratio outside the range carries no gradient if its advantage pushes it on, and all of it if that pulls it back."""
    algorithm = learner(PPO, clip=0.2)
    old = algorithm.collect(
        episodes([DATA] * 5), Clock(0, 0, 1)
    )  # and now it makes its actions more, or less, likely
    old = replace(
        old, log_probs=old.log_probs - shift, advantage=torch.full_like(old.advantage, advantage)
    )
    assert bool(gradient(algorithm.policy, algorithm.surrogate(old).mean).any()) == flows


@pytest.mark.parametrize("credit", ["delta", "product", "sum"])
def test_gold_weighs_demonstrations_as_defined(credit):
    settings = {
        "weight_floor": 0.25,
        "floor": 0.15,
        "log_floor": -1.2,
        "window": 1,
        "discount": 0.6,
    }
    policy, start = Table(0), Table(0)
    algorithm = build(Gold, {"credit": credit, **settings}, policy=policy)
    moved(policy)
    sentences = [DATA, (B, EOS), (A, A, B)]

    def one(sentence):
        """By hand: Σ_t max(u, π_t) Q_t log π_t of one demonstration."""
        alone = episodes([sentence])
        now, before = (
            allowed_log_probs(p(alone.source, alone.prefix)[0])[
                range(len(sentence)), list(sentence)
            ]
            for p in (policy, start)
        )
        earned = [
            max(0.15, float(p + 1.2 if credit == "product" else p.exp())) for p in before.detach()
        ]
        earned.append(1.2 if credit == "product" else 1.0)  # after the end all is certain
        value = torch.zeros(())
        for t in range(len(sentence)):
            q = 1.0 if credit == "delta" else earned[t] + 0.6 * earned[t + 1]
            value = value + max(0.25, float(now[t].detach().exp())) * q * now[t]
        return value

    expected = -sum(one(s) for s in sentences) / 8
    loss = first_loss(algorithm, episodes(sentences))
    assert loss.weight == 8
    torch.testing.assert_close(loss.mean, expected)
    torch.testing.assert_close(gradient(policy, loss.mean), gradient(policy, expected))


@pytest.mark.parametrize("make", [RLOO, SCST, MRT])
def test_a_reward_that_is_the_same_for_all_samples_teaches_nothing(make):
    def pays(index, trajectories):
        rewards = np.zeros(trajectories.action.shape)
        rewards[:, 0] = 7.0
        return rewards

    algorithm = learner(make, reward=pays, samples=3)
    loss = first_loss(algorithm, episodes([DATA] * 4))
    torch.testing.assert_close(gradient(algorithm.policy, loss.mean), torch.zeros(13, 5))


# --- credit and baselines


def test_advantages_are_what_their_sums_say():
    rewards, values = (
        torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]]),
        torch.tensor([[0.5, -1.0, 2.0], [1.0, 3.0, 0.0]]),
    )
    assert rewards_to_go(rewards).tolist() == [[6.0, 5.0, 3.0], [9.0, 5.0, 0.0]]
    error = torch.tensor(
        [[1.0 - 1.0 - 0.5, 2.0 + 2.0 + 1.0, 3.0 - 2.0], [4.0 + 3.0 - 1.0, 5.0 - 3.0, 0.0]]
    )
    torch.testing.assert_close(
        generalized_advantage(rewards, values, 1.0), rewards_to_go(rewards) - values
    )
    torch.testing.assert_close(generalized_advantage(rewards, values, 0.0), error)
    torch.testing.assert_close(
        generalized_advantage(rewards, values, 0.5)[0, 0], error[0] @ torch.tensor([1.0, 0.5, 0.25])
    )


def test_baselines_find_the_mean_and_the_values():
    mask = torch.tensor([[True, True], [True, False]]).repeat(
        10, 1
    )  # what lies outside must not count
    features = torch.eye(2)[[0, 1, 0]].repeat(10, 1)
    returns = torch.tensor([[3.0, -1.0], [3.0, 99.0]]).repeat(10, 1)
    running, critic = RunningMean(), Critic(2)
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.3)
    for _ in range(100):
        assert not running.loss(running(features, mask), returns, mask).any()
        optimizer.zero_grad()
        critic.loss(critic(features, mask), returns, mask).mean().backward()
        optimizer.step()
    torch.testing.assert_close(running(features, mask), 5 / 3 * mask)
    torch.testing.assert_close(critic(features, mask), returns * mask, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["transformer", "gru"])
def test_the_policy_that_learns_is_the_one_that_generated(name, task):
    """No dropout, no PAD or BOS: the first ratio of PPO is one, and training mode is back afterwards."""
    policy = build_policy(name, {"dropout": 0.5}, task.vocabulary, seed=0).train()
    batch = Batches(task.splits["train"], 100, 0, task.limit).at(0)
    (first, features), (again, _) = (log_probs_of(policy, batch) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert first.requires_grad
    assert all(module.training for module in policy.modules())
    log_probs = policy.train(False)(batch.source, batch.prefix, batch.mask)[
        :, BOS + 1 :
    ].log_softmax(-1)
    expected = log_probs.gather(1, batch.target[batch.mask][:, None] - BOS - 1)[:, 0]
    torch.testing.assert_close(first, padded(expected, batch.mask))
    torch.testing.assert_close(features, policy.features(batch.source, batch.prefix, batch.mask))
    assert features.shape == (batch.tokens, policy.feature_width)


# --- state and cost


@pytest.mark.parametrize("name", LEARNERS)
def test_a_restored_state_goes_on_to_the_bit(name):
    """Each of them, stopped after three of six rounds."""

    def rounds(algorithm, optimizer, first, last):
        for step in range(first, last):
            batch = episodes([SENTENCES[step], SENTENCES[-step]] * 5)
            for loss in algorithm.updates([batch], Clock(1, step, 6)):
                optimizer.zero_grad()
                loss.mean.backward()
                optimizer.step()

    def fresh():
        algorithm = learner(variants(agents.algorithms)[name])
        return algorithm, torch.optim.SGD(
            [*algorithm.policy.parameters(), *algorithm.parameters()], lr=0.1
        )

    straight, optimizer = fresh()
    rounds(straight, optimizer, 0, 3)
    states = [
        {key: tensor.clone() for key, tensor in module.state_dict().items()}
        for module in (straight.policy, straight)
    ]
    rounds(straight, optimizer, 3, 6)

    resumed, optimizer = fresh()
    resumed.policy.load_state_dict(states[0])
    resumed.load_state_dict(states[1])
    rounds(resumed, optimizer, 3, 6)
    assert torch.equal(straight.policy.table, resumed.policy.table)
    assert straight.state_dict().keys() == resumed.state_dict().keys() == states[1].keys()
    assert all(
        torch.equal(tensor, resumed.state_dict()[key])
        for key, tensor in straight.state_dict().items()
    )


@pytest.mark.parametrize("name", [name for name in LEARNERS if not name.startswith("gold")])
def test_every_cost_is_recorded(name, task):
    """A reward that queries the oracle about every action is teacher tokens scored."""
    oracle, scored = expert(task), []

    def pays(index, trajectories):
        scored.append(int(trajectories.length.sum()))
        mask = torch.arange(trajectories.action.shape[1]) < trajectories.length[:, None]
        oracle.action(trajectories.action, trajectories.action, mask)
        return np.zeros(trajectories.action.shape)

    algorithm = learner(variants(agents.algorithms)[name], small(task), pays)
    with Profiler({}, "") as profiler:
        loss = first_loss(algorithm, Batches(task.splits["train"], 100, 0, task.limit).at(0), 0.99)
    assert profiler.counts["decoded"] == oracle.queries == sum(scored)
    assert loss.tokens == scored[-1]


@pytest.mark.parametrize(
    ("make", "settings", "says"),
    [
        (Reinforce, {"baseline": "critics"}, "did you mean 'critic'"),
        (Reinforce, {"samples": 0}, "samples=0: a number of at least 1"),
        (SCST, {"samples": 0}, "samples=0: a number of at least 1"),
        (PPO, {"samples": 0}, "samples=0: a number of at least 1"),
        (PPO, {"kl": math.nan}, "kl=nan: a number of at least 0"),
        (PPO, {"epochs": 65}, "epochs=65: a number of at least 1 and at most 64"),
        (RLOO, {"samples": 1}, "samples=1: a number of at least 2"),
        (MRT, {"samples": 1}, "samples=1: a number of at least 2"),
        (MRT, {"alpha": 0.0}, "alpha=0.0: more than 0"),
        (MRT, {"alpha": math.nan}, "alpha=nan: more than 0"),
        (Mixer, {"delta": 0}, "delta=0: a number of at least 1"),
        (PPO, {"epochs": 0}, "epochs=0: a number of at least 1"),
        (Gold, {"credit": "deltas"}, "did you mean 'delta'"),
        (Gold, {"weight_floor": 2.0}, "weight_floor=2.0: a number of at least 0 and at most 1"),
        (Gold, {"discount": -0.5}, "discount=-0.5: a number of at least 0 and at most 1"),
        (Gold, {"log_floor": 3.0}, "log_floor=3.0: .* less than 0"),
        (Gold, {"floor": math.nan}, "floor=nan: a number of at least 0"),
    ],
)
def test_mistakes_are_named(make, settings, says):
    with pytest.raises(UserError, match=says):
        learner(make, **settings)
