"""Imitation: every sampled loss against the exact gradient of a task with fifteen sentences; mixtures are what they say."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from enumerable import SENTENCES, A, B, Table, TableOracle, assert_mean, episodes, gradient, log_prob, next_token

from agents.algorithms.aggrevated import AggreVaTeD
from agents.algorithms.dagger import DAgger
from agents.algorithms.gkd import GKD
from agents.algorithms.lols import LOLS
from agents.algorithms.minillm import MiniLLM
from agents.algorithms.scheduled_sampling import ScheduledSampling
from agents.discovery import build
from agents.estimators.cost_to_go import roll_out_costs
from agents.losses.divergences import NAMED, divergence
from textgen_env.envs import rewards
from textgen_env.errors import UserError
from textgen_env.tasks import copy, tightrope
from textgen_env.tasks.task import expert
from textgen_env.types import BOS, EOS, Batch

DATA = (A, B, EOS)


def worth(sentence):
    """What each action earns: something at every step, that depends on all before it."""
    return [((5 * sum(a * 3**i for i, a in enumerate(sentence[: t + 1])) + 3 * t) % 11 - 5) / 3 for t in range(len(sentence))]


def reward(index, written):
    earned = np.zeros(written.action.shape)
    for row, (action, length) in enumerate(zip(written.action.tolist(), written.length.tolist(), strict=True)):
        earned[row, :length] = worth(action[:length])
    return earned


def learner(make, **settings):
    generator = torch.Generator().manual_seed(1)
    return build(make, settings, policy=Table(1), oracle=TableOracle(2), generator=generator, reward=reward)


def estimates(algorithm, sentence=DATA, rounds=50, rows=200, a_row=False):
    """Gradients ``[rounds, 13, 5]`` of the loss; ``a_row``: of its sum over positions, averaged over rows."""
    batch, found = episodes([sentence] * rows), []
    for _ in range(rounds):
        output = algorithm.loss(batch, progress=0.5)
        found.append(gradient(algorithm.policy, output.loss * (output.tokens / rows if a_row else 1)))
    return torch.stack(found)


def followed(policy, sentence, steps=3):
    """``sentence`` written to its end by the likeliest tokens."""
    while len(sentence) < steps and sentence[-1:] != (EOS,):
        sentence = (*sentence, int(next_token(policy, sentence).argmax()))
    return sentence


def cost_to_go(policy, before, action):
    """Minus what ``action`` and all that ``policy`` then writes earn."""
    return -sum(worth(followed(policy, (*before, action)))[len(before) :])


# --- mixtures


def test_a_mixture_by_step_is_that_of_the_two_distributions():
    algorithm = learner(DAgger, mixture="step", beta="constant", rate=0.4, top_k=0)
    batch, on_policy, decoded, _ = algorithm.mix(episodes([DATA] * 4000), 0.4)
    assert decoded == batch.tokens
    written = [tuple(row[:n]) for row, n in zip(batch.target.tolist(), batch.length.tolist(), strict=True)]
    for sentence in SENTENCES:
        chance = 1.0
        for time, action in enumerate(sentence):
            before = sentence[:time]
            obeys = float(action == next_token(algorithm.oracle, before).argmax())
            chance *= 0.4 * obeys + 0.6 * next_token(algorithm.policy, before)[action].exp().item()
        assert abs(written.count(sentence) / 4000 - chance) < 4 * (chance * (1 - chance) / 4000) ** 0.5
    assert 0.6 < on_policy.float().mean() < 1  # 0.6 after one step, more after three


@pytest.mark.parametrize(("rate", "who"), [(1.0, "oracle"), (0.0, "policy")])
def test_a_mixture_by_step_has_the_oracle_and_the_student_as_its_ends(rate, who):
    algorithm = learner(DAgger, mixture="step", beta="constant", rate=rate, labels="action")
    batch, on_policy, _, asked = algorithm.mix(episodes([DATA]), rate)
    assert tuple(batch.target[0, : batch.length[0]].tolist()) == followed(getattr(algorithm, who), ())
    assert (asked > 0) == (who == "oracle")
    assert on_policy.item() == (who == "policy")


def test_a_batch_has_one_coin_and_a_sequence_its_own():
    shares = {
        mixture: [learner_of(mixture, seed).loss(episodes([DATA] * 20), 0.5).figures["on_policy"].item() for seed in range(60)]
        for mixture in ("batch", "sequence")
    }
    assert set(shares["batch"]) == {0.0, 1.0}
    assert abs(np.mean(shares["batch"]) - 0.5) < 4 * (0.25 / 60) ** 0.5
    assert 0 < min(shares["sequence"]) < max(shares["sequence"]) < 1


def learner_of(mixture, seed):
    generator = torch.Generator().manual_seed(seed)
    return DAgger(Table(1), TableOracle(2), generator, mixture=mixture, beta="constant", rate=0.5)


def test_labels_of_a_mixture_by_step_are_the_oracles_everywhere():
    algorithm = learner(DAgger, mixture="step", labels="action", beta="constant", rate=0.5, top_k=0)
    batch, on_policy, _, _ = algorithm.mix(episodes([DATA] * 50), 0.5)
    target, _ = algorithm.relabel(batch, on_policy)
    assert torch.equal(target[batch.mask], TableOracle(2).action(batch.source, batch.prefix, batch.mask))


# --- gradients


@pytest.mark.parametrize("passes", [1, 3])
def test_scheduled_sampling_learns_from_the_mixed_prefixes_it_should(passes):
    """One pass predicts from the reference's prefix, T passes from the mixed one: Bengio's sequential procedure."""
    algorithm = learner(ScheduledSampling, epsilon="constant", rate=0.3, passes=passes)
    policy, expected = algorithm.policy, 0.0
    for mixed in itertools.product((EOS, A, B), repeat=2):
        chance = 1.0
        for time, token in enumerate(mixed):
            before = DATA[:time] if passes == 1 else mixed[:time]
            chance *= 0.3 * (token == DATA[time]) + 0.7 * next_token(policy, before)[token].exp().item()
        prefix = torch.tensor([[BOS, *mixed]])
        expected = expected + chance * torch.nn.functional.cross_entropy(policy(prefix, prefix)[0], torch.tensor(DATA))
    assert_mean(estimates(algorithm), gradient(policy, expected))


@pytest.mark.parametrize("student_fraction", [0.0, 0.6])
@pytest.mark.parametrize("name", NAMED)
def test_gkd_descends_the_divergence_on_both_kinds_of_prefix(name, student_fraction):
    algorithm = learner(GKD, student_fraction=student_fraction, divergence=name, beta=0.3)
    policy, expected = algorithm.policy, 0.0
    for sentence in SENTENCES:
        chance = student_fraction * log_prob(policy, sentence).exp().detach() + (1 - student_fraction) * (sentence == DATA)
        batch = episodes([sentence])
        logits, expert = policy(batch.source, batch.prefix)[0], algorithm.oracle.log_probs(batch.source, batch.prefix)[0]
        expected = expected + chance * len(sentence) * divergence(name, 0.3)(logits, expert)
    expected = gradient(policy, expected)
    if student_fraction:
        assert_mean(estimates(algorithm, a_row=True), expected)
    else:
        torch.testing.assert_close(estimates(algorithm, rounds=1, a_row=True)[0], expected)


def test_minillm_is_an_unbiased_gradient_of_the_reverse_kl_of_sequences():
    algorithm = learner(MiniLLM, teacher_mix=0.0, length_normalised=False)
    expected = sequence_kl(algorithm, SENTENCES)
    for sizes in ({"rounds": 50, "rows": 200}, {"rounds": 2000, "rows": 1}):
        assert_mean(len(DATA) * estimates(algorithm, **sizes), expected)


def test_minillm_weighs_what_the_teacher_helped_to_write():
    """With a single step, the approximate weight is the exact one."""
    algorithm = learner(MiniLLM, teacher_mix=0.5)
    expected = sequence_kl(algorithm, [(EOS,), (A,), (B,)])
    assert_mean(estimates(algorithm, sentence=(A,)), expected)


def sequence_kl(algorithm, sentences):
    q = torch.stack([log_prob(algorithm.policy, sentence) for sentence in sentences])
    p = torch.stack([log_prob(algorithm.oracle, sentence) for sentence in sentences])
    return gradient(algorithm.policy, (q.exp() * (q - p)).sum())


def test_the_single_step_split_has_less_variance_than_the_plain_likelihood_ratio():
    algorithm = learner(MiniLLM, teacher_mix=0.0, length_normalised=False)
    policy, oracle = algorithm.policy, algorithm.oracle
    plain = torch.stack(
        [gradient(policy, (log_prob(policy, y) - log_prob(oracle, y)).detach() * log_prob(policy, y)) for y in SENTENCES]
    )
    chance = torch.stack([log_prob(policy, y) for y in SENTENCES]).exp().detach()[:, None, None]
    spread = (chance * plain.square()).sum(0) - (chance * plain).sum(0).square()
    assert (len(DATA) * estimates(algorithm, rounds=200, rows=1)).var(0).sum() < spread.sum()


def test_what_comes_after_a_step_is_summed_or_averaged():
    mask = torch.tensor([[True, True, True], [True, False, False]])
    rewards = torch.tensor([1.0, 2.0, 4.0, 8.0])
    assert learner(MiniLLM, length_normalised=False).after(rewards, mask).tolist() == [6.0, 4.0, 0.0, 0.0]
    assert learner(MiniLLM).after(rewards, mask).tolist() == [3.0, 4.0, 0.0, 0.0]


@pytest.mark.parametrize("rate", [0.0, 0.7])
def test_aggrevated_is_an_unbiased_gradient_of_the_expected_cost_to_go(rate):
    algorithm = learner(AggreVaTeD, beta="constant", rate=rate, actions=3)
    policy, expected = algorithm.policy, 0.0
    for sentence in SENTENCES:
        chance = (1 - rate) * log_prob(policy, sentence).exp().detach() + rate * (sentence == DATA)
        for time in range(len(sentence)):
            now = next_token(policy, sentence[:time]).exp()
            costs = sum(now[a] * cost_to_go(algorithm.oracle, sentence[:time], a) for a in (EOS, A, B))
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
        costs = [0.3 * cost_to_go(oracle, before, a) + 0.7 * cost_to_go(policy, before, a) for a in tried]
        expected = expected + (now[tried].softmax(-1) * torch.tensor(costs)).sum() / len(sentence)
    assert_mean(estimates(algorithm), gradient(policy, expected))


def test_where_all_actions_cost_the_same_lols_learns_nothing():
    algorithm = learner(LOLS, actions=2)
    algorithm.reward = lambda index, written: np.zeros(written.action.shape)
    assert estimates(algorithm, rounds=3).abs().max() == 0


# --- cost-to-go


@pytest.mark.parametrize("load", [copy.load, tightrope.load, partial(tightrope.load, recoverable=False)])
def test_the_exact_cost_to_go_is_that_of_rolling_out_the_oracle(load):
    task = load(train=30, valid=5, test=5)
    oracle, size = expert(task), len(task.vocabulary)
    pay = lambda index, written: rewards.score(rewards.make(task.reward, task, oracle), task, "train", index, written)  # noqa: E731
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(20)
    source = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(task.splits["train"].source[i]) for i in index], batch_first=True
    )
    written = torch.randint(3, size, (20, task.horizon), generator=generator)
    length = torch.full((20,), task.horizon)
    batch = Batch(index, source, written, length, limit=length)
    time = torch.randint(task.horizon, (20,), generator=generator)
    now = torch.arange(task.horizon) == time[:, None]
    action = torch.arange(EOS, size).expand(20, -1)
    asked = (Always(size, token=3), oracle, pay, batch, time, action, torch.ones_like(action, dtype=torch.bool), generator)
    costs, decoded = roll_out_costs(*asked)
    torch.testing.assert_close(costs, oracle.cost_to_go(batch.source, batch.prefix, now)[:, EOS:])
    assert decoded == 0


@pytest.mark.parametrize("make", [MiniLLM, LOLS, AggreVaTeD])
def test_actions_are_judged_by_the_policy_that_writes_which_is_without_dropout(make):
    algorithm, modes = learner(make, **{} if make is MiniLLM else {"actions": 2}), set()
    algorithm.policy.register_forward_hook(lambda policy, *_: modes.add(policy.training))
    algorithm.policy.train()
    algorithm.loss(episodes([DATA] * 4), 0.5)
    assert modes == {False}
    assert algorithm.policy.training


def test_aggrevated_exact_is_the_mean_cost_over_all_steps():
    task = copy.load(train=30, valid=5, test=5)
    oracle = expert(task)
    policy = Always(len(task.vocabulary), token=3)
    algorithm = AggreVaTeD(policy, oracle, torch.Generator(), reward, cost_to_go="exact", beta="constant", rate=1.0)
    target = torch.tensor([[3, 4, 3, EOS]])
    length = torch.tensor([4])
    batch = Batch(torch.zeros(1, dtype=torch.int64), target, target, length, limit=length)
    assert algorithm.loss(batch, 0.0).figures["cost"] == pytest.approx(0.5, abs=1e-3)  # right twice in four steps


class Always(torch.nn.Module):
    def __init__(self, size, token):
        super().__init__()
        self.vocabulary_size = size
        self.logits = torch.nn.Parameter(torch.zeros(size).index_fill(0, torch.tensor([token]), 20.0))

    def forward(self, source, prefix, mask):
        return self.logits.expand(int(mask.sum()), -1)


# --- mistakes


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (GKD, {"student_fraction": 1.2}, "student_fraction=1.2: a number of at least 0 and at most 1"),
        (GKD, {"divergence": "kl"}, "unknown divergence 'kl'"),
        (GKD, {"beta": -0.1}, r"beta=-0.1: .* between 0 \(forward KL\) and 1"),
        (MiniLLM, {"teacher_mix": 1.0}, "teacher_mix=1.0: a number of at least 0 and less than 1"),
        (DAgger, {"mixture": "token"}, "unknown mixture 'token'"),
        (ScheduledSampling, {"epsilon": "sigmoid"}, "unknown beta schedule 'sigmoid'; did you mean 'reverse_sigmoid'"),
        (ScheduledSampling, {"top_k": 5}, "top_k=5: a number of at least 0 and at most 1"),
        (ScheduledSampling, {"passes": 0}, "passes=0"),
        (AggreVaTeD, {"cost_to_go": "true"}, "unknown cost_to_go 'true'"),
        (AggreVaTeD, {"cost_to_go": "exact"}, "cost_to_go=exact: only the exact oracle of a tabular task"),
        (AggreVaTeD, {"actions": 1}, "actions=1"),
        (LOLS, {"expert_share": 2}, "expert_share=2: a number of at least 0 and at most 1"),
        (LOLS, {"actions": 9}, "actions=9: a number of at least 2 and at most 3"),
    ],
)
def test_settings_out_of_range_are_one_clear_line(make, settings, message):
    with pytest.raises(UserError, match=message):
        learner(make, **settings)


@pytest.mark.parametrize("make", [GKD, MiniLLM, DAgger, AggreVaTeD, LOLS])
def test_without_an_expert_an_imitator_says_so(make):
    with pytest.raises(UserError, match=f"{make.__name__} needs an oracle, and there is none here"):
        build(make, {}, policy=Table(0), oracle=None, generator=torch.Generator(), reward=reward)


@pytest.mark.parametrize("make", [AggreVaTeD, LOLS])
def test_a_reward_that_is_not_finite_is_named(make):
    algorithm = learner(make, actions=2)
    algorithm.reward = lambda index, written: np.full(written.action.shape, np.nan)
    with pytest.raises(UserError, match="the reward of training row 0 at step 1 is nan"):
        algorithm.loss(episodes([DATA]), 0.5)
