"""Rollouts restore the policy's mode and depend on their noise alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agents.generation.rollout import eval_mode, rollout
from agents.model import build_policy
from textgen_env.profiler import Profiler
from textgen_env.randomness import uniform
from textgen_env.types import PAD


@pytest.fixture(scope="module")
def policy(task) -> nn.Module:
    settings = {"layers": 1, "width": 8, "heads": 2, "ffn": 8, "dropout": 0.5}
    return build_policy("transformer", settings, task.vocabulary, seed=0)


@pytest.fixture(scope="module")
def source(task) -> Tensor:
    rows = [torch.from_numpy(row) for row in task.splits["train"].source[:30]]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def noise(rows: Tensor, seed: int = 0) -> Tensor:
    return uniform((seed, 0), "test", rows, 6)


def test_eval_mode_restores_the_mode_and_stops_gradients():
    layer = nn.Linear(2, 2)
    for training in (True, False):
        layer.train(training)
        with eval_mode(layer):
            assert not layer.training
            assert not layer(torch.ones(1, 2)).requires_grad
        assert layer.training == training


def test_rollouts_depend_on_their_noise_alone(policy, source):
    state, rows = torch.get_rng_state(), torch.arange(len(source))
    one, again, other = (rollout(policy, source, 6, noise(rows, seed)).action for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, again)
    assert one.shape != other.shape or not torch.equal(one, other)
    greedy = rollout(policy, source, 6)
    assert torch.equal(greedy.action, rollout(policy, source, 6, noise(rows), top_k=1).action)
    assert greedy.score.isnan().all()


@pytest.mark.parametrize("top_k", [0, 3])
def test_a_row_samples_the_same_in_any_batch(policy, source, top_k):
    rows = torch.arange(len(source))
    batched = rollout(policy, source, 6, noise(rows), top_k)
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))
    for chunk in order.split(7):
        episodes = rollout(policy, source[chunk], 6, noise(rows[chunk]), top_k)
        width = episodes.action.shape[1]
        assert torch.equal(episodes.action, batched.action[chunk, :width])
        assert torch.equal(episodes.length, batched.length[chunk])


@pytest.mark.parametrize("sampled", [False, True])
def test_a_rollout_forced_to_its_own_beginning_is_unchanged(policy, source, sampled):
    """With a different number of forced tokens per row, which are not counted as decoded."""
    draws = noise(torch.arange(len(source))) if sampled else None
    expected = rollout(policy, source, 6, draws)
    count = torch.arange(len(source)) % 4  # forced tokens of each row
    forced = expected.action[:, :3].masked_fill(torch.arange(3) >= count[:, None], PAD)
    with Profiler({}, "rest") as profiler:
        episodes = rollout(policy, source, 6, draws, forced=forced)
    assert torch.equal(episodes.action, expected.action)
    assert profiler.counts["decoded"] == int((expected.length - count).clamp(min=0).sum())


def test_forced_tokens_are_generated(policy, source):
    forced = torch.full((len(source), 1), 5)
    assert (rollout(policy, source, 6, forced=forced).action[:, 0] == 5).all()


def test_too_little_noise_is_rejected(policy, source):
    with pytest.raises(ValueError, match="noise has 6 steps, but the limit allows 7"):
        rollout(policy, source, 7, noise(torch.arange(len(source))))
