"""Learning from rewards: every estimator against the exact gradient of a task with fifteen sentences and its definition."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import agents.algorithms
from agents.algorithms.gold import Gold
from agents.algorithms.mixer import Mixer
from agents.algorithms.mrt import MRT, repeated
from agents.algorithms.ppo import PPO
from agents.algorithms.reinforce import Reinforce
from agents.algorithms.rloo import RLOO
from agents.algorithms.scst import SCST
from agents.discovery import build, variants
from agents.estimators.baselines import Critic, Running
from agents.estimators.returns import Player, act_log_probs, generalised_advantage, per_episode, to_go
from agents.policies.rnn import RNN
from agents.policies.transformer import Transformer
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.tasks.task import expert
from textgen_env.types import BOS, EOS, Batch

A, B = 3, 4  # the vocabulary's words; with EOS there are three things to write
WIDTH = 3
SENTENCES = [
    s for n in (1, 2, 3) for s in itertools.product((EOS, A, B), repeat=n) if EOS not in s[:-1] and (n == 3 or s[-1] == EOS)
]
LEARNERS = ("reinforce", "rloo", "scst", "mixer", "mrt", "ppo", "gold", "gold_p", "gold_s")


class Table(nn.Module):
    """A policy with five logits for each of the seven prefixes; its features say which prefix it is."""

    vocabulary_size, feature_width = 5, 7

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(torch.randn(7, 5, generator=self.generator))

    def forward(self, source, prefix, mask=None):
        return self.head(self.features(source, prefix, mask))

    def features(self, source, prefix, mask=None):
        word = (prefix - A).clamp(0, 1)  # [B, T]; what stands after an end does not matter
        state = torch.zeros_like(prefix)
        for time in range(1, prefix.shape[1]):
            state[:, time] = 2 * state[:, time - 1] + 1 + word[:, time]
        features = nn.functional.one_hot(state.clamp(max=6), 7).float()
        return features if mask is None else features[mask]

    def head(self, features):
        return features @ self.table

    def start(self, source, steps):
        return Prefix(source[:, :0])

    def step(self, token, state):
        prefix = torch.cat([state.tokens, token[:, None]], 1)
        return self(prefix, prefix)[:, -1], Prefix(prefix)


@dataclass
class Prefix:
    tokens: torch.Tensor

    def select(self, index):
        return Prefix(self.tokens[index])


class Silent:
    """An oracle nobody asks."""

    vocabulary_size, queries = 5, 0


def worth(sentence, index=0):
    """What each action earns: something at every step that depends on all before it, and on the row."""
    return [
        ((7 * sum(a * 3**i for i, a in enumerate(sentence[: t + 1])) + 3 * t) % 11 - 4) / 4 + index
        for t in range(len(sentence))
    ]


def reward(index, written):
    earned = np.zeros(written.action.shape)
    for row, (number, action, length) in enumerate(zip(index, written.action.tolist(), written.length.tolist(), strict=True)):
        earned[row, :length] = worth(action[:length], int(number))
    return earned


def episodes(sentences, index=0):
    """Those sentences as a batch."""
    length = torch.tensor([len(sentence) for sentence in sentences])
    target = nn.utils.rnn.pad_sequence([torch.tensor(sentence) for sentence in sentences], batch_first=True)
    source, limit = torch.full((len(length), 2), EOS), torch.full_like(length, target.shape[1])
    return Batch(torch.full_like(length, index), source, target, length, limit)


def learner(make, policy=None, seed=0, pays=reward, **settings):
    policy = Table() if policy is None else policy
    generator = torch.Generator().manual_seed(seed)
    return build(make, settings, policy=policy, oracle=Silent(), generator=generator, reward=pays)


def gradient(policy, value):
    policy.zero_grad()
    value.backward()
    return policy.table.grad.clone()


def exact(policy, value, forced=()):
    """The gradient of Σ_y π(y) value(y) over all sentences that begin with ``forced``, by enumeration."""
    sentences = [s for s in SENTENCES if s[: len(forced)] == forced[: len(s)]]
    batch = episodes(sentences)
    mask = batch.mask
    log_probs = torch.zeros(mask.shape).masked_scatter(mask, act_log_probs(policy, batch)[0])
    chance = log_probs[:, len(forced) :].sum(1).exp()
    return gradient(policy, (chance * torch.tensor([value(s) for s in sentences])).sum())


def estimates(algorithm, rounds=100, rows=120, progress=0.5):
    """Gradients ``[rounds, 7, 5]`` of the loss, turned into those of what is maximised."""
    batch = episodes([(A, B, EOS)] * rows)
    return torch.stack([-gradient(algorithm.policy, algorithm.loss(batch, progress).loss) for _ in range(rounds)])


def assert_mean(samples, expected):
    """The mean is the expected gradient within its standard error, and that is small enough to notice a wrong one."""
    error = samples.std(0) / len(samples) ** 0.5
    assert error.norm() < 0.15 * expected.norm()
    assert ((samples.mean(0) - expected).abs() <= 4 * error + 1e-5).all()


def test_there_are_fifteen_sentences_and_their_probabilities_sum_to_one():
    policy, batch = Table(), episodes(SENTENCES)
    assert len(SENTENCES) == 15
    chance = per_episode(act_log_probs(policy, batch)[0], batch.length).exp()
    torch.testing.assert_close(chance.sum(), torch.tensor(1.0))


def test_sentences_come_as_often_as_the_log_probabilities_say():
    policy, batch = Table(), episodes(SENTENCES)
    chance = per_episode(act_log_probs(policy, batch)[0], batch.length).exp().tolist()
    played = Player(policy, Silent(), torch.Generator().manual_seed(0), reward).write(episodes([(A, B, EOS)] * 4000))
    written = [tuple(row[:n]) for row, n in zip(played.batch.target.tolist(), played.batch.length.tolist(), strict=True)]
    for sentence, p in zip(SENTENCES, chance, strict=True):
        assert abs(written.count(sentence) / 4000 - p) < 4 * (p * (1 - p) / 4000) ** 0.5


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
    for baseline in (getattr(algorithm, name, None) for name in ("baseline", "critic")):
        if isinstance(baseline, Critic):
            nn.init.normal_(baseline.weight, generator=algorithm.policy.generator)
    assert_mean(estimates(algorithm, progress=0.9), exact(algorithm.policy, lambda sentence: sum(worth(sentence))))


def test_ppo_pays_for_the_distance_to_the_start():
    """The gradient is that of E[reward] - kl · KL(π ‖ π₀)."""
    policy = Table()
    algorithm = learner(PPO, policy, epochs=1, trace=1.0, kl=0.7, samples=1)
    start = algorithm.start
    policy.table.data += torch.randn(7, 5, generator=policy.generator)

    def value(sentence):
        one = episodes([sentence])
        with torch.no_grad():
            away = act_log_probs(policy, one)[0].sum() - act_log_probs(start, one)[0].sum()
        return sum(worth(sentence)) - 0.7 * float(away)

    assert_mean(estimates(algorithm), exact(policy, value))


def test_generalised_advantages_with_the_true_values_are_unbiased_for_any_trace():
    """A one-step estimate needs the true value of every state: here the critic is a table, and can hold it."""
    policy = Table()
    values = torch.zeros(7)
    states = {(): 0, (A,): 1, (B,): 2, (A, A): 3, (A, B): 4, (B, A): 5, (B, B): 6}
    for prefix, state in states.items():
        sentences = [s for s in SENTENCES if s[: len(prefix)] == prefix]
        batch = episodes(sentences)
        log_probs = torch.zeros(batch.mask.shape).masked_scatter(batch.mask, act_log_probs(policy, batch)[0].detach())
        chance = log_probs[:, len(prefix) :].sum(1).exp()
        values[state] = (chance * torch.tensor([sum(worth(s)[len(prefix) :]) for s in sentences])).sum()
    expected = exact(policy, lambda sentence: sum(worth(sentence)))
    for trace in (0.0, 0.5):
        algorithm = learner(PPO, policy, epochs=1, trace=trace, kl=0.0)
        algorithm.critic.weight.data = values.clone()
        algorithm.critic.running.rate, algorithm.critic.running.seen = 0.0, torch.tensor(torch.inf)  # and the mean stays 0
        assert_mean(estimates(algorithm), expected)


def test_mixer_learns_the_head_by_cross_entropy_and_the_tail_by_reinforce():
    algorithm = learner(Mixer, delta=1, anneal=1.0)
    assert [algorithm.head(3, progress) for progress in (0.0, 0.2, 0.3, 0.6, 0.8, 0.999)] == [3, 3, 2, 1, 0, 0]
    policy, target = algorithm.policy, episodes([(A, B, EOS)])
    log_prob = act_log_probs(policy, target)[0]
    torch.testing.assert_close(-gradient(policy, algorithm.loss(target, 0.0).loss), gradient(policy, log_prob.sum()))
    head = gradient(policy, act_log_probs(policy, target)[0][0])
    tail = exact(policy, lambda sentence: sum(worth(sentence)), forced=(A,))
    assert_mean(estimates(algorithm, progress=0.6), head + tail)
    output = algorithm.loss(target, 0.6)
    assert output.figures["head"] == 1
    assert output.decoded == output.tokens - 1


@pytest.mark.parametrize("reference", [False, True])
def test_mrt_is_the_expected_risk_over_its_distinct_candidates(reference):
    algorithm = learner(MRT, samples=6, alpha=0.3, reference=reference)
    policy, batch = algorithm.policy, episodes([(A, B, EOS), (B, EOS)])
    seen = []

    def spy(index, written):
        seen.append(written)
        return reward(index, written)

    algorithm.player = Player(policy, Silent(), torch.Generator().manual_seed(3), spy)
    loss = algorithm.loss(batch, 0.0).loss
    (written,) = seen
    rows = [tuple(row[:n]) for row, n in zip(written.action.tolist(), written.length.tolist(), strict=True)]
    risk = torch.zeros(())
    for one, target in ((rows[: len(rows) // 2], (A, B, EOS)), (rows[len(rows) // 2 :], (B, EOS))):
        assert (one[-1] == target) or not reference
        distinct = sorted(set(one))
        assert len(distinct) < len(one)
        candidates = episodes(distinct)
        chance = per_episode(act_log_probs(policy, candidates)[0], candidates.length).exp() ** 0.3
        risk = risk - (chance / chance.sum() * torch.tensor([sum(worth(s)) for s in distinct])).sum() / 2
    torch.testing.assert_close(loss, risk)
    torch.testing.assert_close(gradient(policy, loss), gradient(policy, risk))


def test_mrt_over_every_sentence_is_the_expected_reward():
    """With α = 1 and all there is to say as candidates, Q is the policy."""
    policy, batch = Table(), episodes(SENTENCES)
    log_probs = per_episode(act_log_probs(policy, batch)[0], batch.length)
    total = torch.tensor([sum(worth(sentence)) for sentence in SENTENCES])
    risk = -(log_probs.softmax(0) * total).sum()
    torch.testing.assert_close(-gradient(policy, risk), exact(policy, lambda sentence: sum(worth(sentence))))


def test_only_later_candidates_are_repeats():
    candidates = torch.tensor([[[A, EOS], [B, EOS], [A, EOS], [A, B], [A, EOS]]])
    assert repeated(candidates).tolist() == [[False, False, True, False, True]]


def test_ppo_steps_several_times_on_the_same_episodes():
    algorithm = learner(PPO, epochs=3)
    optimiser = torch.optim.SGD(algorithm.policy.parameters(), lr=0.05)
    batch, outputs, seen = episodes([(A, B, EOS)] * 30), [], []
    for step in range(6):
        optimiser.zero_grad()
        outputs.append(algorithm.loss(batch if step % 3 == 0 else episodes([(B, EOS)]), 0.0))
        outputs[-1].loss.backward()
        optimiser.step()
        seen.append(algorithm.memory)
    assert [output.decoded > 0 for output in outputs] == [True, False, False, True, False, False]
    assert seen[0] is seen[2] is not seen[3] is seen[5]
    assert [output.tokens for output in outputs[:3]] == [outputs[0].decoded] * 3
    assert outputs[0].figures["clipped"] == outputs[3].figures["clipped"] == 0


def test_ppo_clips_only_what_would_go_further_the_same_way():
    """A ratio outside the range carries no gradient if its advantage pushes it on, and all of it if that pulls it back."""
    for shift, advantage, flows in (
        (1.0, 1.0, False),
        (1.0, -1.0, True),
        (-1.0, -1.0, False),
        (-1.0, 1.0, True),
        (0.0, 1.0, True),
    ):
        algorithm = learner(PPO, epochs=2, clip=0.2)
        algorithm.loss(episodes([(A, B, EOS)] * 5), 0.0)
        memory = algorithm.memory
        memory.log_probs.sub_(shift)  # now the policy makes what it wrote more (less) likely than the one that wrote it
        memory.advantage.fill_(advantage)
        moved = gradient(algorithm.policy, algorithm.loss(memory.batch, 0.0).loss)
        assert bool(moved.any()) == flows


@pytest.mark.parametrize("credit", ["delta", "product", "sum"])
def test_gold_weighs_demonstrations_as_defined(credit):
    settings = {"weight_floor": 0.25, "floor": 0.15, "log_floor": -1.2, "window": 1, "discount": 0.6}
    policy = Table()
    algorithm = build(Gold, {"credit": credit, **settings}, policy=policy)
    start = Table()
    policy.table.data += torch.randn(7, 5, generator=policy.generator)
    batch = episodes([(A, B, EOS), (B, EOS), (A, A, B)])

    def one(sentence):
        """By hand: Σ_t max(u, π_t) Q_t log π_t of one demonstration."""
        alone = episodes([sentence])
        now, before = (
            p(alone.source, alone.prefix)[0].log_softmax(-1)[range(len(sentence)), list(sentence)] for p in (policy, start)
        )
        earned = [max(0.15, float(p + 1.2 if credit == "product" else p.exp())) for p in before.detach()]
        earned.append(1.2 if credit == "product" else 1.0)  # after the end all is certain
        total = torch.zeros(())
        for t in range(len(sentence)):
            q = 1.0 if credit == "delta" else earned[t] + 0.6 * earned[t + 1]
            total = total + max(0.25, float(now[t].detach().exp())) * q * now[t]
        return total

    expected = -sum(one(s) for s in ((A, B, EOS), (B, EOS), (A, A, B))) / batch.tokens
    output = algorithm.loss(batch, 0.0)
    torch.testing.assert_close(output.loss, expected)
    torch.testing.assert_close(gradient(policy, output.loss), gradient(policy, expected))
    assert (output.decoded, output.scored, output.tokens) == (0, 0, 8)


def seven_at_once(index, written):
    paid = np.zeros(written.action.shape)
    paid[:, 0] = 7.0
    return paid


def test_advantages_of_the_samples_of_a_source_sum_to_zero():
    """A reward that is the same for all samples teaches nothing, whatever it is."""
    for make in (RLOO, SCST, MRT):
        algorithm = learner(make, samples=3, pays=seven_at_once)
        moved = gradient(algorithm.policy, algorithm.loss(episodes([(A, B, EOS)] * 4), 0.0).loss)
        torch.testing.assert_close(moved, torch.zeros(7, 5))


def test_advantages_are_what_their_sums_say():
    rewards, values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]]), torch.tensor([[0.5, -1.0, 2.0], [1.0, 3.0, 0.0]])
    assert to_go(rewards).tolist() == [[6.0, 5.0, 3.0], [9.0, 5.0, 0.0]]
    surprise = torch.tensor([[1.0 - 1.0 - 0.5, 2.0 + 2.0 + 1.0, 3.0 - 2.0], [4.0 + 3.0 - 1.0, 5.0 - 3.0, 0.0]])
    torch.testing.assert_close(generalised_advantage(rewards, values, 1.0), to_go(rewards) - values)
    torch.testing.assert_close(generalised_advantage(rewards, values, 0.0), surprise)
    torch.testing.assert_close(generalised_advantage(rewards, values, 0.5)[0, 0], surprise[0] @ torch.tensor([1.0, 0.5, 0.25]))
    assert per_episode(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2, 0, 1])).tolist() == [3.0, 0.0, 3.0]


def test_baselines_find_the_mean_and_the_values():
    running, critic = Running(), Critic(2)
    features, returns = torch.eye(2).repeat(20, 1), torch.tensor([3.0, -1.0]).repeat(20)
    for module in (running, critic):
        optimiser = torch.optim.SGD([*module.parameters(), torch.zeros(1, requires_grad=True)], lr=0.3)
        for _ in range(60):
            optimiser.zero_grad()
            loss = module.loss(module(features), returns)
            if loss.requires_grad:
                loss.backward()
            optimiser.step()
    torch.testing.assert_close(running(features), torch.ones(40))
    torch.testing.assert_close(critic(features), returns, atol=1e-3, rtol=0)


@pytest.mark.parametrize("make", [Transformer, RNN])
def test_features_are_what_logits_are_made_of(make, task):
    policy = make(len(task.vocabulary)).train(False)
    batch = Batches(task.splits["train"], 100, 0, task.limit).at(0)
    features = policy.features(batch.source, batch.prefix, batch.mask)
    assert features.shape == (batch.tokens, policy.feature_width)
    torch.testing.assert_close(policy.head(features), policy(batch.source, batch.prefix, batch.mask))


@pytest.mark.parametrize("make", [Transformer, RNN])
def test_the_policy_that_learns_is_the_one_that_wrote(make, task):
    """No dropout, no PAD or BOS: the first ratio of PPO is one, and training mode is back afterwards."""
    policy = make(len(task.vocabulary), dropout=0.5).train()
    batch = Batches(task.splits["train"], 100, 0, task.limit).at(0)
    first, again = (act_log_probs(policy, batch)[0] for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert first.requires_grad
    assert all(module.training for module in policy.modules())
    log_probs = policy.train(False)(batch.source, batch.prefix, batch.mask)[:, BOS + 1 :].log_softmax(-1)
    torch.testing.assert_close(first, log_probs.gather(1, batch.target[batch.mask][:, None] - BOS - 1)[:, 0])


@pytest.mark.parametrize("name", LEARNERS)
def test_a_restored_state_goes_on_to_the_bit(name):
    """Each of them, stopped after three of six steps; PPO in the middle of its epochs."""

    def steps(algorithm, optimiser, generator, first, last):
        for step in range(first, last):
            optimiser.zero_grad()
            algorithm.loss(episodes([SENTENCES[step], SENTENCES[-step]] * 5), step / 6).loss.backward()
            optimiser.step()

    def fresh():
        generator, policy = torch.Generator().manual_seed(1), Table()
        algorithm = build(
            variants(agents.algorithms)[name], {}, policy=policy, oracle=Silent(), generator=generator, reward=reward
        )
        return algorithm, torch.optim.SGD([*policy.parameters(), *algorithm.parameters()], lr=0.1), generator

    straight, optimiser, generator = fresh()
    steps(straight, optimiser, generator, 0, 3)
    state = {key: tensor.clone() for key, tensor in straight.state_dict().items()}
    weights, noise = [weight.detach().clone() for weight in optimiser.param_groups[0]["params"]], generator.get_state()
    steps(straight, optimiser, generator, 3, 6)

    resumed, optimiser, generator = fresh()
    for weight, kept in zip(optimiser.param_groups[0]["params"], weights, strict=True):
        weight.data.copy_(kept)
    resumed.load_state_dict(state)
    generator.set_state(noise)
    steps(resumed, optimiser, generator, 3, 6)
    assert torch.equal(straight.policy.table, resumed.policy.table)
    assert straight.state_dict().keys() == resumed.state_dict().keys()
    assert all(torch.equal(tensor, resumed.state_dict()[key]) for key, tensor in straight.state_dict().items())


@pytest.mark.parametrize("name", [name for name in LEARNERS if not name.startswith("gold")])
def test_every_cost_is_booked(name, task):
    """A reward that asks the oracle about every action is teacher tokens scored."""
    policy = Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16)
    oracle, asked = expert(task), []

    def pays(index, written):
        asked.append(written)
        mask = torch.arange(written.action.shape[1]) < written.length[:, None]
        oracle.action(written.action, written.action, mask)
        return np.zeros(written.action.shape)

    algorithm = build(
        variants(agents.algorithms)[name],
        {},
        policy=policy,
        oracle=oracle,
        generator=torch.Generator().manual_seed(0),
        reward=pays,
    )
    output = algorithm.loss(Batches(task.splits["train"], 100, 0, task.limit).at(0), 0.99)
    assert output.scored == output.decoded == sum(int(written.length.sum()) for written in asked)
    assert output.tokens == int(asked[-1].length.sum())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_reward_that_is_not_finite_stops_the_training(bad):
    def pays(index, written):
        earned = np.zeros(written.action.shape)
        earned[2, 0] = bad
        return earned

    with pytest.raises(UserError, match=f"the reward of training row 5 at step 1 is {bad}: rewards must be finite"):
        learner(Reinforce, pays=pays).loss(episodes([(A, EOS)] * 3, index=5), 0.0)


@pytest.mark.parametrize(
    ("make", "settings", "says"),
    [
        (Reinforce, {"baseline": "critics"}, "did you mean 'critic'"),
        (Reinforce, {"samples": 0}, "samples=0: a number of at least 1"),
        (SCST, {"samples": 0}, "samples=0: a number of at least 1"),
        (PPO, {"samples": 0}, "samples=0: a number of at least 1"),
        (PPO, {"kl": math.nan}, "kl=nan: a number of at least 0"),
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
