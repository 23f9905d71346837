"""The Oracle contract for every kind of oracle, and what each kind adds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from agents.policies.transformer import Transformer
from support.oracles import ToyPolicy, decode, toy_teacher
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.oracles.cached import CachedOracle
from textgen_env.oracles.noisy import NoisyOracle, follow
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.oracles.references import ReferenceOracle
from textgen_env.tasks.task import expert
from textgen_env.types import BOS, EOS, LOG_ZERO, PAD, shift

KINDS = {
    "reference": expert,
    "policy": toy_teacher,
    "top-k": lambda task: toy_teacher(task, top_k=3),
    "noisy": lambda task: NoisyOracle(toy_teacher(task), 0.3, torch.Generator().manual_seed(0)),
    "noisy top-k": lambda task: NoisyOracle(
        toy_teacher(task, top_k=3), 0.0, torch.Generator().manual_seed(0)
    ),
    "cached": lambda task: CachedOracle(toy_teacher(task)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_log_probs_and_actions_keep_the_contract(kind, task, query):
    oracle, (source, prefix, mask) = KINDS[kind](task), query
    log_probs = oracle.log_probs(source, prefix)
    assert log_probs.shape == (4, 7, oracle.vocabulary_size)
    assert log_probs.dtype == torch.float32
    assert log_probs.isfinite().all()
    torch.testing.assert_close(log_probs.logsumexp(dim=-1), torch.zeros(4, 7), atol=1e-5, rtol=0)
    torch.testing.assert_close(oracle.log_probs(source, prefix, mask), log_probs[mask])
    assert oracle.action(source, prefix).shape == (4, 7)
    assert oracle.action(source, prefix, mask).shape == (int(mask.sum()),)
    nothing = oracle.log_probs(source, prefix, torch.zeros_like(mask))
    assert nothing.shape == (0, oracle.vocabulary_size)


@pytest.mark.parametrize("kind", ["reference", "policy", "top-k", "noisy"])
def test_queries_count_positions(kind, task, query):
    oracle, (source, prefix, mask) = KINDS[kind](task), query
    oracle.log_probs(source, prefix)
    assert oracle.queries == 28
    oracle.action(source, prefix, mask)
    assert oracle.queries == 28 + int(mask.sum())


@pytest.mark.parametrize("kind", ["reference", "policy", "top-k", "cached"])
def test_action_is_the_argmax(kind, task, query):
    oracle, (source, prefix, _) = KINDS[kind](task), query
    most_likely = oracle.log_probs(source, prefix).argmax(dim=-1)
    assert torch.equal(oracle.action(source, prefix), most_likely)


def test_reference_oracle_takes_the_reference_whatever_the_prefix(task, query):
    source, prefix, _ = query
    targets = [target.tolist() for target in task.splits["train"].target]
    action = expert(task).action(source, prefix)
    assert action.tolist() == [(target + [EOS] * 7)[:7] for target in targets]
    episodes = expert(task).demonstrate(source, 5)
    assert episodes.action.tolist() == [(target + [PAD] * 5)[:5] for target in targets]
    assert episodes.length.tolist() == [min(len(target), 5) for target in targets]
    torch.testing.assert_close(episodes.score, episodes.length * math.log(0.99))


def test_reference_oracle_ignores_padding_and_prefers_the_first_split(task):
    train = task.splits["train"]
    source = torch.tensor([[*train.source[2].tolist(), PAD, PAD, PAD]])
    action = expert(task).action(source, torch.ones(1, 2, dtype=torch.int64))
    assert action.tolist() == [train.target[2][:2].tolist()]
    reversed_targets = replace(train, target=train.target[::-1])
    oracle = ReferenceOracle([reversed_targets, train], len(task.vocabulary))
    action = oracle.action(source, torch.ones(1, 4, dtype=torch.int64))
    assert action.tolist() == [train.target[1][:4].tolist()]


def test_unknown_sources_raise_a_clear_error(task):
    with pytest.raises(UserError, match="no reference for this source"):
        expert(task).action(torch.tensor([[9, 9, 9, EOS]]), torch.ones(1, 1, dtype=torch.int64))


def test_policy_oracle_uses_eval_mode_and_restores_the_mode(task, query):
    source, prefix, _ = query
    oracle = toy_teacher(task)
    oracle.policy.train()
    first, second = oracle.log_probs(source, prefix), oracle.log_probs(source, prefix)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert oracle.policy.training
    assert oracle.policy.dropout.training
    oracle.policy.eval()
    oracle.action(source, prefix)
    assert not oracle.policy.training


def test_policy_oracle_demonstrates_with_its_decoder(task, query):
    source, _, _ = query
    oracle = toy_teacher(task)
    episodes = oracle.demonstrate(source, 4)
    assert oracle.queries == 16
    assert torch.equal(episodes.action, follow(toy_teacher(task), source, 4).action)


def test_other_vocabulary_is_rejected(task):
    with pytest.raises(UserError, match="vocabulary"):
        PolicyOracle(ToyPolicy(5), decode, Vocabulary.from_words(["a"]), task.vocabulary)


@pytest.mark.parametrize("k", [0, 10_000])
def test_top_k_out_of_range_is_rejected(task, k):
    with pytest.raises(UserError, match="top_k"):
        toy_teacher(task, top_k=k)


def test_cached_steps_apply_top_k(task, query):
    source, _, _ = query
    torch.manual_seed(0)
    policy = Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16)
    oracle = PolicyOracle(policy, decode, task.vocabulary, task.vocabulary, top_k=2)
    first = torch.full((len(source),), BOS)
    stepped, _ = oracle.step(first, oracle.start(source, 3))
    torch.testing.assert_close(stepped, oracle.log_probs(source, first[:, None])[:, 0])


def test_top_k_renormalizes_k_tokens(task, query):
    source, prefix, _ = query
    full = toy_teacher(task).log_probs(source, prefix)
    top = toy_teacher(task, top_k=3).log_probs(source, prefix)
    kept = top > LOG_ZERO
    assert (kept.sum(dim=-1) == 3).all()
    assert torch.equal(kept, torch.zeros_like(kept).scatter(-1, full.topk(3).indices, True))
    assert torch.equal(top.argmax(dim=-1), full.argmax(dim=-1))
    ratio = (top - full).masked_select(kept).view(4, 7, 3)
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio))
    assert (top.exp()[~kept] == 0).all()
    all_tokens = toy_teacher(task, top_k=len(task.vocabulary))
    torch.testing.assert_close(all_tokens.log_probs(source, prefix), full)


def test_epsilon_0_is_the_oracle_and_1_is_uniform(task, query):
    source, prefix, _ = query
    clean = toy_teacher(task)
    noiseless, random = (
        NoisyOracle(clean, epsilon, torch.Generator().manual_seed(0)) for epsilon in (0.0, 1.0)
    )
    assert torch.equal(noiseless.action(source, prefix), clean.action(source, prefix))
    expected = clean.log_probs(source, prefix)
    torch.testing.assert_close(noiseless.log_probs(source, prefix), expected)
    uniform = torch.full((4, 7, clean.vocabulary_size), -math.log(clean.vocabulary_size))
    torch.testing.assert_close(random.log_probs(source, prefix), uniform)
    with pytest.raises(UserError, match="epsilon"):
        NoisyOracle(clean, 1.5, torch.Generator())


def test_noisy_actions_follow_the_noisy_distribution(task, query):
    source, prefix, _ = query
    clean = toy_teacher(task)
    noisy = NoisyOracle(clean, 0.4, torch.Generator().manual_seed(0))
    sources, prefixes = source[:1].expand(3000, -1), prefix[:1, :1].expand(3000, -1)
    actions = noisy.action(sources, prefixes).flatten()
    frequencies = torch.bincount(actions, minlength=noisy.vocabulary_size) / 3000
    expected = torch.full((noisy.vocabulary_size,), 0.4 / noisy.vocabulary_size)
    expected[clean.action(source[:1], prefix[:1, :1])] += 0.6
    torch.testing.assert_close(frequencies, expected, atol=0.04, rtol=0)
    mixture = 0.6 * clean.log_probs(source, prefix).exp() + 0.4 / noisy.vocabulary_size
    torch.testing.assert_close(noisy.log_probs(source, prefix).exp(), mixture)


def test_noisy_demonstrations_are_reproducible_and_scored(task, query):
    source, _, _ = query
    first, second = (
        NoisyOracle(expert(task), 0.5, torch.Generator().manual_seed(3)).demonstrate(source, 9)
        for _ in range(2)
    )
    assert torch.equal(first.action, second.action)
    log_probs = NoisyOracle(expert(task), 0.5, torch.Generator()).log_probs(
        source, shift(first.action)
    )
    mask = torch.arange(first.action.shape[1]) < first.length[:, None]
    score = log_probs.gather(2, first.action[..., None])[..., 0]
    torch.testing.assert_close(first.score, (score * mask).sum(dim=1))
    last = first.action[torch.arange(4), first.length - 1]
    assert ((last == EOS) | (first.length == 9)).all()
