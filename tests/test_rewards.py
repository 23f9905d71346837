"""Rewards against their definitions, and the two ways to ask for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import REWARDS, progress, tiny_world

from textgen_env import rewards
from textgen_env.errors import UserError
from textgen_env.metrics import sentence_score
from textgen_env.oracle import expert
from textgen_env.oracle_wrappers import CachedOracle, NoisyOracle
from textgen_env.types import Trajectories, shift


@pytest.fixture
def world():
    return tiny_world()


def written(rows: list[list[int]]) -> Trajectories:
    """Those actions as trajectories."""
    length = torch.tensor([len(row) for row in rows])
    action = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return Trajectories(action, length, torch.zeros(len(rows)))


def test_the_experts_own_words_earn_the_most(world):
    index = [0, 1, 2, 3]
    references = written([row.tolist() for row in world.splits["train"].target])
    inside = (torch.arange(references.action.shape[1]) < references.length[:, None]).numpy()
    for name, best in {"zero_one": 0.0, "expert_logprob": np.log(0.99)}.items():
        earned = rewards.score(rewards.make(name, world, expert(world)), world, "train", index, references)
        np.testing.assert_allclose(earned, np.where(inside, best, 0.0), rtol=1e-6)
    for name in ("bleu", "rouge", "accuracy"):
        earned = rewards.score(rewards.make(name, world), world, "train", index, references)
        np.testing.assert_allclose(earned.sum(axis=1), 1.0)
        assert not earned[:, :-1][inside[:, 1:]].any()  # all of it is paid at the end


def test_zero_one_is_minus_the_number_of_disagreements(world):
    target = world.splits["train"].target[0].tolist()
    slipped = [target[0] + 1, *target[1:3], 0, *target[4:]]
    earned = rewards.score(rewards.make("zero_one", world, expert(world)), world, "train", [0], written([slipped]))
    assert earned.tolist() == [[-1, 0, 0, -1, 0, 0]]


def test_terminal_rewards_are_the_metric_over_100_truncated_or_not(world):
    texts = ["the dog sees", "the a cat sees"]
    rows = [world.vocabulary.encode(text) for text in texts]  # no EOS: cut by the horizon
    for name, figure in {"bleu": "bleu", "rouge": "rougeL"}.items():
        earned = rewards.score(rewards.make(name, world), world, "train", [0, 1], written(rows)).sum(axis=1)
        references = world.splits["train"].texts.references
        expected = [sentence_score(name, text, references[row])[figure] / 100 for row, text in enumerate(texts)]
        np.testing.assert_allclose(earned, expected)
        assert ((earned > 0) & (earned < 1)).all()


def test_a_function_is_told_where_the_episode_stands(world):
    seen = []

    def spy(*given):
        seen.append(given)
        return 1

    earned = rewards.score(rewards.make(spy, world), world, "valid", [1, 0], written([[5, 2], [6, 7, 8]]))
    assert earned.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert [(split, index, action.tolist(), ended) for _, split, index, action, ended in seen] == [
        ("valid", 1, [5], False),
        ("valid", 1, [5, 2], True),
        ("valid", 0, [6], False),
        ("valid", 0, [6, 7], False),
        ("valid", 0, [6, 7, 8], True),
    ]
    assert all(world is given[0] for given in seen)


@pytest.mark.parametrize("name", REWARDS)
def test_one_position_at_a_time_is_all_at_once(name, world):
    reward = rewards.make(REWARDS[name], world, expert(world))
    rows = [[5, 6, 2], [4, 7, 8, 9, 1, 0, 3, 4, 5], [2]]
    whole = written(rows)
    action, length = whole.action.numpy(), whole.length.numpy()
    index = np.array([3, 0, 1])
    source = rewards.pad([world.splits["train"].source[row] for row in index], world.source_limit)
    stepped = np.zeros(action.shape)
    for step in range(action.shape[1]):
        alive = np.flatnonzero(length > step)
        so_far = np.where(np.arange(action.shape[1]) <= step, action, 0)[alive]
        ended = length[alive] == step + 1
        length_so_far = np.full(len(alive), step + 1)
        episodes = rewards.Episodes(["train"] * len(alive), index[alive], source[alive], so_far, length_so_far, ended)
        stepped[alive, step] = reward(episodes, episodes.last)
    np.testing.assert_array_equal(stepped, rewards.score(reward, world, "train", index, whole))


def test_what_the_caller_knows_of_the_expert_is_not_asked_again(world):
    oracle = expert(world)
    reward = rewards.make("zero_one", world, oracle)
    whole = written([[5, 6, 2]])
    source = rewards.pad([world.splits["train"].source[0]], world.source_limit)
    episodes = rewards.Episodes(["train"], np.array([0]), source, whole.action.numpy(), np.array([3]), np.array([True]))
    assert reward(episodes, episodes.taken, np.array([5, 5, 2])).tolist() == [0, -1, 0]
    assert oracle.queries == 0


def test_any_oracle_can_pay(world):
    clean = written([row.tolist() for row in world.splits["train"].target])
    noisy = NoisyOracle(expert(world), 0.5, torch.Generator().manual_seed(0))
    earned = rewards.score(rewards.make("expert_logprob", world, CachedOracle(noisy)), world, "train", [0, 1, 2, 3], clean)
    direct = noisy.log_probs(*(torch.from_numpy(rewards.pad(world.splits["train"].source, 10)), shift(clean.action)))
    expected = direct.gather(2, clean.action[..., None])[..., 0].numpy()
    inside = earned != 0
    np.testing.assert_allclose(earned[inside], expected[inside], rtol=1e-6)
    assert inside.sum() == int(clean.length.sum())


def test_mistakes_are_named(world):
    with pytest.raises(UserError, match="did you mean 'zero_one'"):
        rewards.make("zero_on", world, expert(world))
    for name in ("zero_one", "expert_logprob"):
        with pytest.raises(UserError, match="give an oracle"):
            rewards.make(name, world)
    rewards.make(progress, world)
