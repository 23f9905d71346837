"""Experts: what they say is a distribution, what it costs is counted, and wrappers change only what they promise."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from agents.policies.transformer import Transformer
from support.tiny import tiny_task
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.oracles.cached import CachedOracle
from textgen_env.oracles.noisy import NoisyOracle, follow
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.oracles.references import ReferenceOracle
from textgen_env.tasks.task import expert
from textgen_env.types import BOS, EOS, LOG_ZERO, PAD, Trajectories, shift


class Toy(nn.Module):
    """A causal policy with dropout: logits are a table over (last token, number of source tokens), scaled by position."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.vocabulary_size = size
        self.table = nn.Embedding(size, size)
        self.dropout = nn.Dropout(0.5)

    def forward(self, source, prefix, mask=None):
        seen = prefix.cumsum(dim=1).remainder(self.vocabulary_size)  # [B, T]
        logits = (
            self.dropout(self.table(seen)) * (source != PAD).sum(dim=1)[:, None, None]
        )  # [B, T, V]
        return logits if mask is None else logits[mask]


@pytest.fixture
def task():
    return tiny_task()


@pytest.fixture
def asked(task):
    """source [B, S], prefix [B, T] with tokens no reference has, mask [B, T] with a gap."""
    source = nn.utils.rnn.pad_sequence(
        [torch.from_numpy(row) for row in task.splits["train"].source], batch_first=True
    )
    prefix = shift(
        torch.randint(3, len(task.vocabulary), (4, 7), generator=torch.Generator().manual_seed(0))
    )
    mask = torch.arange(7) < torch.tensor([7, 3, 5, 1])[:, None]
    mask[0, 2] = False
    return source, prefix, mask


def decode(policy, source, steps):
    """Greedy and uncached."""
    action = torch.full((len(source), steps), PAD)
    for step in range(steps):
        action[:, step] = policy(source, shift(action[:, : step + 1]))[:, -1].argmax(dim=-1)
    return Trajectories(action, torch.full((len(source),), steps), torch.zeros(len(source)))


def teacher(task, **options):
    torch.manual_seed(1)  # the toy's parameters
    return PolicyOracle(
        Toy(len(task.vocabulary)), decode, task.vocabulary, task.vocabulary, **options
    )


KINDS = {
    "reference": expert,
    "policy": teacher,
    "top-k": lambda task: teacher(task, top_k=3),
    "noisy": lambda task: NoisyOracle(teacher(task), 0.3, torch.Generator().manual_seed(0)),
    "noisy top-k": lambda task: NoisyOracle(
        teacher(task, top_k=3), 0.0, torch.Generator().manual_seed(0)
    ),
    "cached": lambda task: CachedOracle(teacher(task)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_the_contract(kind, task, asked):
    oracle, (source, prefix, mask) = KINDS[kind](task), asked
    whole, some = oracle.log_probs(source, prefix), oracle.log_probs(source, prefix, mask)
    assert whole.shape == (4, 7, oracle.vocabulary_size)
    assert whole.dtype == torch.float32
    assert whole.isfinite().all()
    torch.testing.assert_close(whole.logsumexp(dim=-1), torch.zeros(4, 7), atol=1e-5, rtol=0)
    torch.testing.assert_close(some, whole[mask])
    assert oracle.action(source, prefix).shape == (4, 7)
    assert oracle.action(source, prefix, mask).shape == (int(mask.sum()),)
    assert oracle.log_probs(source, prefix, torch.zeros_like(mask)).shape == (
        0,
        oracle.vocabulary_size,
    )


@pytest.mark.parametrize("kind", ["reference", "policy", "top-k", "noisy"])
def test_queries_count_positions(kind, task, asked):
    oracle, (source, prefix, mask) = KINDS[kind](task), asked
    oracle.log_probs(source, prefix)
    assert oracle.queries == 28
    oracle.action(source, prefix, mask)
    assert oracle.queries == 28 + int(mask.sum())


@pytest.mark.parametrize("kind", ["reference", "policy", "top-k", "cached"])
def test_action_is_the_likeliest(kind, task, asked):
    source, prefix, _ = asked
    assert torch.equal(
        KINDS[kind](task).action(source, prefix),
        KINDS[kind](task).log_probs(source, prefix).argmax(dim=-1),
    )


def test_reference_oracle_says_the_reference_whatever_was_written(task, asked):
    source, prefix, _ = asked
    action = expert(task).action(source, prefix)
    for row, target in enumerate(task.splits["train"].target):
        assert action[row].tolist() == (target.tolist() + [EOS] * 7)[:7]
    written = expert(task).demonstrate(source, 5)
    assert written.action.tolist() == [
        (target.tolist() + [PAD] * 5)[:5] for target in task.splits["train"].target
    ]
    assert written.length.tolist() == [
        min(len(target), 5) for target in task.splits["train"].target
    ]
    torch.testing.assert_close(written.score, written.length * math.log(0.99))


def test_reference_oracle_ignores_padding_and_prefers_the_first_split(task):
    train = task.splits["train"]
    source = torch.tensor([[*train.source[2].tolist(), PAD, PAD, PAD]])
    assert expert(task).action(source, torch.ones(1, 2, dtype=torch.int64)).tolist() == [
        train.target[2][:2].tolist()
    ]
    other = tiny_task().splits["test"]
    swapped = type(other)(train.source, train.target[::-1], train.texts)
    first = ReferenceOracle([swapped, train], len(task.vocabulary))
    assert first.action(source, torch.ones(1, 4, dtype=torch.int64)).tolist() == [
        train.target[1][:4].tolist()
    ]


def test_reference_oracle_says_when_it_does_not_know(task):
    with pytest.raises(UserError, match="no reference for this source"):
        expert(task).action(torch.tensor([[9, 9, 9, EOS]]), torch.ones(1, 1, dtype=torch.int64))


def test_policy_oracle_asks_in_evaluation_mode_and_restores_training(task, asked):
    source, prefix, _ = asked
    oracle = teacher(task)
    oracle.policy.train()
    first, second = oracle.log_probs(source, prefix), oracle.log_probs(source, prefix)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert oracle.policy.training
    assert oracle.policy.dropout.training
    oracle.policy.eval()
    oracle.action(source, prefix)
    assert not oracle.policy.training


def test_policy_oracle_demonstrates_by_its_decoder(task, asked):
    source, _, _ = asked
    oracle = teacher(task)
    written = oracle.demonstrate(source, 4)
    assert oracle.queries == 16
    assert torch.equal(written.action, follow(teacher(task), source, 4).action)


def test_a_foreign_vocabulary_is_refused(task):
    with pytest.raises(UserError, match="vocabulary"):
        PolicyOracle(Toy(5), decode, Vocabulary.from_words(["a"]), task.vocabulary)


@pytest.mark.parametrize("k", [0, 10_000])
def test_top_k_out_of_range_is_refused(task, k):
    with pytest.raises(UserError, match="top_k"):
        teacher(task, top_k=k)


def test_top_k_holds_step_by_step_too(task, asked):
    source, _, _ = asked
    torch.manual_seed(0)
    policy = Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16)
    oracle = PolicyOracle(policy, decode, task.vocabulary, task.vocabulary, top_k=2)
    first = torch.full((len(source),), BOS)
    stepped, _ = oracle.step(first, oracle.start(source, 3))
    torch.testing.assert_close(stepped, oracle.log_probs(source, first[:, None])[:, 0])


def test_top_k_keeps_k_renormalized(task, asked):
    source, prefix, _ = asked
    full, top = (
        teacher(task).log_probs(source, prefix),
        teacher(task, top_k=3).log_probs(source, prefix),
    )
    kept = top > LOG_ZERO
    assert (kept.sum(dim=-1) == 3).all()
    assert torch.equal(kept, torch.zeros_like(kept).scatter(-1, full.topk(3).indices, True))
    assert torch.equal(top.argmax(dim=-1), full.argmax(dim=-1))
    ratio = (top - full).masked_select(kept).view(4, 7, 3)
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio))
    assert (top.exp()[~kept] == 0).all()
    torch.testing.assert_close(
        teacher(task, top_k=len(task.vocabulary)).log_probs(source, prefix), full
    )


def test_noise_of_0_and_1(task, asked):
    source, prefix, _ = asked
    clean = teacher(task)
    silent, deaf = (
        NoisyOracle(clean, epsilon, torch.Generator().manual_seed(0)) for epsilon in (0.0, 1.0)
    )
    assert torch.equal(silent.action(source, prefix), clean.action(source, prefix))
    torch.testing.assert_close(silent.log_probs(source, prefix), clean.log_probs(source, prefix))
    uniform = torch.full((4, 7, clean.vocabulary_size), -math.log(clean.vocabulary_size))
    torch.testing.assert_close(deaf.log_probs(source, prefix), uniform)
    with pytest.raises(UserError, match="epsilon"):
        NoisyOracle(clean, 1.5, torch.Generator())


def test_noise_rate_and_distribution_agree(task, asked):
    source, prefix, _ = asked
    clean = teacher(task)
    noisy = NoisyOracle(clean, 0.4, torch.Generator().manual_seed(0))
    many, prefixes = source[:1].expand(3000, -1), prefix[:1, :1].expand(3000, -1)
    best = int(clean.action(source[:1], prefix[:1, :1]))
    shares = (
        torch.bincount(noisy.action(many, prefixes).flatten(), minlength=noisy.vocabulary_size)
        / 3000
    )
    expected = torch.full((noisy.vocabulary_size,), 0.4 / noisy.vocabulary_size)
    expected[best] += 0.6
    torch.testing.assert_close(shares, expected, atol=0.04, rtol=0)
    mixture = 0.6 * clean.log_probs(source, prefix).exp() + 0.4 / noisy.vocabulary_size
    torch.testing.assert_close(noisy.log_probs(source, prefix).exp(), mixture)


def test_noisy_demonstrations_are_reproducible_and_scored(task, asked):
    source, _, _ = asked
    first, second = (
        NoisyOracle(expert(task), 0.5, torch.Generator().manual_seed(3)).demonstrate(source, 9)
        for _ in range(2)
    )
    assert torch.equal(first.action, second.action)
    fair = NoisyOracle(expert(task), 0.5, torch.Generator())
    inside = torch.arange(first.action.shape[1]) < first.length[:, None]
    each = fair.log_probs(source, shift(first.action)).gather(2, first.action[..., None])[..., 0]
    torch.testing.assert_close(first.score, (each * inside).sum(dim=1))
    last = first.action[torch.arange(4), first.length - 1]
    assert ((last == EOS) | (first.length == 9)).all()


@pytest.mark.parametrize("question", ["action", "log_probs"])
def test_cache_answers_to_the_bit_and_asks_once(question, task, asked):
    source, prefix, mask = asked
    inner = expert(task)
    cached, fresh = CachedOracle(inner), expert(task)
    wanted = int(mask.sum())
    for _ in range(3):
        assert torch.equal(
            getattr(cached, question)(source, prefix, mask),
            getattr(fresh, question)(source, prefix, mask),
        )
    assert (cached.queries, cached.hits) == (wanted, 2 * wanted)
    assert torch.equal(
        getattr(cached, question)(source, prefix), getattr(fresh, question)(source, prefix)
    )
    assert cached.queries == 28  # only the positions that the mask had left out


def test_the_cache_takes_a_state_that_stands_twice_in_one_question(task):
    cached, fresh = CachedOracle(teacher(task)), teacher(task)
    source, prefix = torch.tensor([[5, EOS], [5, EOS], [6, EOS]]), torch.tensor([[BOS, 5]] * 3)
    for _ in range(2):
        assert torch.equal(cached.action(source, prefix), fresh.action(source, prefix))


def test_cache_knows_states_apart_and_padding_together(task, asked):
    source, prefix, _ = asked
    cached = CachedOracle(teacher(task))
    cached.log_probs(source, prefix)
    cached.log_probs(torch.cat([source, torch.full((4, 2), PAD)], dim=1), prefix)
    assert cached.queries == 28
    changed = prefix.clone()
    changed[:, 3] += 1
    torch.testing.assert_close(
        cached.log_probs(source, changed), teacher(task).log_probs(source, changed)
    )
    assert cached.queries == 28 + 4 * 4  # positions 3 … 6 see the change
    torch.testing.assert_close(
        cached.log_probs(source.flip(0), prefix), teacher(task).log_probs(source.flip(0), prefix)
    )


def test_cache_is_bounded_and_forgets_the_longest_unused(task, asked):
    source, prefix, _ = asked
    entry = 4 * len(task.vocabulary) + CachedOracle.ENTRY_BYTES
    cached = CachedOracle(teacher(task), max_bytes=7 * entry)
    cached.log_probs(source[:1], prefix[:1])
    cached.log_probs(source[1:2], prefix[1:2, :2])  # pushes out two, the oldest
    assert cached.bytes == 7 * entry
    cached.log_probs(source[1:2], prefix[1:2, :2])
    cached.log_probs(source[:1], prefix[:1], torch.arange(7)[None] >= 2)
    assert cached.queries == 9
    cached.log_probs(source[:1], prefix[:1, :1])
    assert cached.queries == 10
    fresh = CachedOracle(teacher(task), max_bytes=2 * entry)
    for row in (0, 1, 0, 2, 0):  # row 0 is used between the others, so they go
        fresh.log_probs(source[row : row + 1], prefix[row : row + 1, :1])
    assert fresh.queries == 3
    nothing = CachedOracle(teacher(task), max_bytes=0)
    torch.testing.assert_close(
        nothing.log_probs(source, prefix), teacher(task).log_probs(source, prefix)
    )
    assert nothing.bytes == 0
