"""Student and expert generate together: cached or not, in any batch."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from agents.estimators.cost_to_go import oracle_rollout
from agents.generation import decoding
from agents.generation.beam import beam_search
from agents.generation.decoding import greedy, pick, sample
from agents.generation.interleaved import interleaved, stepper, steps_until
from agents.generation.rollout import rollout
from agents.model import build_policy
from textgen_env.oracles.noisy import NoisyOracle
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.profiler import Profiler
from textgen_env.randomness import uniform
from textgen_env.tasks.task import expert
from textgen_env.types import BOS, EOS, PAD, shift

STEPS = 7


@pytest.fixture(scope="module")
def student(task):
    return build_policy(
        "gru", {"encoder_width": 8, "width": 16, "embedding": 8}, task.vocabulary, seed=1
    )


@pytest.fixture(scope="module")
def teacher(task):
    policy = build_policy(
        "transformer", {"layers": 1, "width": 16, "heads": 2, "ffn": 16}, task.vocabulary, seed=2
    )
    return PolicyOracle(policy, partial(beam_search, width=2), task.vocabulary, task.vocabulary)


@pytest.fixture(scope="module")
def source(task):
    return nn.utils.rnn.pad_sequence(
        [torch.from_numpy(row) for row in task.splits["train"].source[:40]], True
    )


def noise(rows, *shape):
    return uniform((0, 0), "test", torch.arange(rows), STEPS, *shape)


def coin(own, expert, memory, noise):
    """The expert acts where the noise is below 1/2; both take their most likely token."""
    acted = noise < 0.5
    return torch.where(acted, pick(expert), pick(own)), acted, memory


def always(actor, top_k=1):
    """The same actor at every step."""

    def choose(own, expert, memory, noise):
        acted = torch.full((len(own),), actor == "expert")
        return pick(expert if actor == "expert" else own, noise, top_k), acted, memory

    return choose


class Uncached:
    """An oracle without ``start`` and ``step``."""

    def __init__(self, oracle):
        self.oracle, self.vocabulary_size, self.queries = oracle, oracle.vocabulary_size, 0

    def log_probs(self, source, prefix, mask=None):
        self.queries += int(mask.sum())
        return self.oracle.log_probs(source, prefix, mask)


def assert_equal(actual, expected):
    assert torch.equal(actual.action, expected.action)
    assert torch.equal(actual.length, expected.length)


def test_every_token_is_that_of_its_actor_after_the_common_prefix(student, teacher, source):
    mixed = interleaved(student, teacher, coin)(source, STEPS, noise(len(source)))
    action = mixed.episodes.action
    inside, prefix = action != PAD, shift(action)
    assert torch.equal(mixed.expert, (noise(len(source)) < 0.5)[:, : action.shape[1]] & inside)
    with torch.no_grad():
        student.eval()
        for acted, logits in (
            (inside & ~mixed.expert, student(source, prefix)),
            (mixed.expert, teacher.log_probs(source, prefix)),
        ):
            assert acted.any()
            assert torch.equal(action[acted], (logits[..., EOS:].argmax(-1) + EOS)[acted])
        student.train()


def test_cached_and_uncached_oracles_generate_the_same(student, teacher, source):
    uncached = Uncached(teacher)
    one, other = (
        interleaved(student, oracle, coin)(source, STEPS, noise(len(source)))
        for oracle in (teacher, uncached)
    )
    assert_equal(one.episodes, other.episodes)
    assert torch.equal(one.expert, other.expert)
    assert uncached.queries >= int(one.episodes.length.sum())


@pytest.mark.parametrize("top_k", [0, 1, 3])
def test_a_single_actor_generates_its_own_rollout(student, teacher, source, top_k):
    draws = noise(len(source))
    student_only = interleaved(student, teacher, always("student", top_k))(source, STEPS, draws)
    assert_equal(student_only.episodes, rollout(student, source, STEPS, draws, top_k))
    assert not student_only.expert.any()
    expert_only = interleaved(student, teacher, always("expert", top_k))(source, STEPS, draws)
    teacher.policy.eval()
    expected = sample(teacher.policy, source, STEPS, draws, top_k, scored=False)
    assert_equal(expert_only.episodes, expected)
    assert torch.equal(expert_only.expert, expected.action != PAD)
    uncached = sample(stepper(Uncached(teacher)), source, STEPS, draws, top_k, scored=False)
    assert_equal(uncached, expected)


def test_an_exact_expert_generates_its_demonstrations(student, source, task):
    expert_only = interleaved(student, expert(task), always("expert"))(source, task.horizon)
    assert_equal(expert_only.episodes, expert(task).demonstrate(source, task.horizon))


def test_an_expert_that_is_not_sampled_takes_its_action_and_not_its_argmax(student, source, task):
    """The action of a noisy oracle is random, its distribution uniform."""

    def noisy():
        return NoisyOracle(expert(task), 1.0, torch.Generator().manual_seed(0))

    acting = stepper(noisy(), sampled=False)
    mixed = interleaved(student, acting, always("expert"))(source, STEPS).episodes
    first = noisy().action(source, torch.full_like(source[:, :1], BOS))  # [B, 1]
    assert torch.equal(mixed.action[:, :1], first.clamp(min=EOS))
    assert len(first.unique()) > 2
    assert_equal(mixed, greedy(stepper(noisy(), sampled=False), source, STEPS, scored=False))
    assert_equal(mixed, oracle_rollout(noisy())(source, STEPS, None))
    assert stepper(acting) is acting


def test_the_expert_is_not_queried_after_its_last_needed_step(student, teacher, source):
    draws, uncached = noise(len(source)), Uncached(teacher)
    early = torch.where(torch.arange(STEPS) < 2, draws, 1.0)  # [B, T]
    expected = interleaved(student, uncached, coin)(source, STEPS, early)
    queries = uncached.queries
    needed = steps_until(early >= 0.5), steps_until(early < 0.5)
    assert needed == (STEPS, 2)
    mixed = interleaved(student, uncached, coin)(source, STEPS, early, needed=needed)
    assert_equal(mixed.episodes, expected.episodes)
    assert uncached.queries - queries <= 2 * len(source) < queries


def test_pad_and_bos_cannot_be_chosen(student, source, task):
    class Confused(Uncached):
        def log_probs(self, source, prefix, mask=None):
            log_probs = self.oracle.log_probs(source, prefix, mask)
            log_probs[:, [PAD, BOS]] = 9.0
            return log_probs

    def choose(own, expert, memory, noise):
        return expert.argmax(-1), torch.ones(len(expert), dtype=torch.bool), memory

    action = interleaved(student, Confused(expert(task)), choose)(source, STEPS).episodes.action
    assert torch.equal(action, expert(task).demonstrate(source, STEPS).action)


@pytest.mark.parametrize("kind", [tuple, dict, torch.Tensor])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_memory_follows_its_rows_when_finished_rows_leave(
    student, teacher, source, share, kind, monkeypatch
):
    """The memory holds the index and time of each row, which select its noise."""
    monkeypatch.setattr(decoding, "COMPACT_BELOW", share)
    coins = noise(len(source))

    def choose(own, expert, memory, _):
        row, time = (
            memory.values() if kind is dict else memory if kind is tuple else memory.unbind(1)
        )
        token, acted, _ = coin(own, expert, None, coins[row, time])
        memory = {"row": row, "time": time + 1} if kind is dict else (row, time + 1)
        return token, acted, torch.stack(memory, 1) if kind is torch.Tensor else memory

    row, time = torch.arange(len(source)), torch.zeros(len(source), dtype=torch.int64)
    memory = {"row": row, "time": time} if kind is dict else (row, time)
    memory = torch.stack(memory, 1) if kind is torch.Tensor else memory
    limit = row % STEPS + 1
    mixed = interleaved(student, teacher, choose)(source, limit, memory=memory)
    expected = interleaved(student, teacher, coin)(source, limit, coins)
    assert_equal(mixed.episodes, expected.episodes)
    assert len(mixed.episodes.length.unique()) > 2


def test_a_row_does_not_depend_on_its_batch(student, source, task):
    generate, limit = (
        interleaved(student, expert(task), coin),
        torch.arange(len(source)) % STEPS + 1,
    )
    batched = generate(source, limit, noise(len(source)))
    assert (batched.episodes.length <= limit).all()
    assert len(batched.episodes.length.unique()) > 2
    for row in range(0, len(source), 7):
        rows = slice(row, row + 1)
        single = generate(source[rows], limit[rows], noise(len(source))[rows])
        length = int(batched.episodes.length[row])
        assert single.episodes.action[0].tolist() == batched.episodes.action[row, :length].tolist()
        assert single.expert[0].tolist() == batched.expert[row, :length].tolist()


def test_noise_may_have_more_dimensions(student, teacher, source):
    """Two numbers per step: one for the coin, one to sample with."""

    def choose(own, expert, memory, noise):
        acted = noise[:, 0] < 0.5
        return torch.where(acted, pick(expert, noise[:, 1]), pick(own, noise[:, 1])), acted, memory

    draws = noise(len(source), 2)
    mixed = interleaved(student, teacher, choose)(source, STEPS, draws)
    expected = (draws[..., 0] < 0.5)[:, : mixed.expert.shape[1]]
    assert torch.equal(mixed.expert, expected & (mixed.episodes.action != PAD))


def test_modes_are_restored_without_gradients_and_tokens_are_counted(student, teacher, source):
    student.train()
    teacher.policy.train()
    modes = []

    def choose(own, expert, memory, noise):
        modes.append(
            (student.training, teacher.policy.training, own.requires_grad or expert.requires_grad)
        )
        return pick(own), torch.zeros(len(own), dtype=torch.bool), memory

    with Profiler({}, "rest") as profiler:
        mixed = interleaved(student, teacher, choose)(source, STEPS)
    assert {(training, grad) for training, _, grad in modes} == {(False, False)}
    assert student.training
    assert teacher.policy.training
    assert profiler.counts["decoded"] == int(mixed.episodes.length.sum())


def test_greedy_decoding_of_any_oracle_continues_from_forced_tokens(teacher, source):
    """Rows have one or two forced tokens; PAD where the expert is free."""
    forced = torch.full((len(source), 3), PAD)
    forced[:, 0], forced[::2, 1] = 5, 6
    for oracle in (teacher, Uncached(teacher)):
        episodes = greedy(stepper(oracle), source, STEPS, forced, scored=False)
        assert torch.equal(episodes.action[:, 0], forced[:, 0])
        assert torch.equal(episodes.action[::2, 1], forced[::2, 1])
        answer = teacher.log_probs(source, shift(episodes.action))[..., EOS:].argmax(-1) + EOS
        free = (episodes.action != PAD) & (torch.arange(episodes.action.shape[1]) > 1)
        assert torch.equal(episodes.action[free], answer[free])
        assert torch.equal(episodes.action[1::2, 1], answer[1::2, 1])
