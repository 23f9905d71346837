"""Tightrope-v0 costs the same as the tabular MDP: in rewards, in rendering, step by step."""

from __future__ import annotations

import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.theory import neural
from agents.theory.bounds import recoverability
from agents.theory.horizon import total_cost
from agents.theory.mdps import GROUND, RIGHT, ROPE, Array, tightrope, walker
from textgen_env.envs import rewards
from textgen_env.envs.env import TextGenEnv
from textgen_env.errors import UserError
from textgen_env.tasks import tightrope as text
from textgen_env.tasks.task import Task, expert
from textgen_env.types import UNK, Trajectories

T = 5
JUMP = text.CLIMB + 3


def episode_return(env: TextGenEnv, correct: tuple[bool, ...]) -> float:
    """The return of an episode that takes the expert's action or, where not ``correct``, jumps."""
    _, info = env.reset(options={"index": 0})
    total = 0.0
    for is_correct in correct:
        action = info["expert_action"] if is_correct else JUMP
        _, reward, _, over, info = env.step(action)
        total += reward
    assert over
    return total


def probability(policy: Array, correct: tuple[bool, ...], recoverable: bool) -> float:
    """The probability of such an episode under a tabular ``policy`` ``[T, 2, A]``."""
    state, probability = ROPE, 1.0
    for t, is_correct in enumerate(correct):
        probability *= policy[t, state, RIGHT] if is_correct else policy[t, state, 1:].sum()
        stays_up = is_correct and (state == ROPE or recoverable)
        state = ROPE if stays_up else GROUND
    return probability


@pytest.mark.parametrize("recoverable", [True, False])
def test_expected_return_is_minus_the_tabular_cost(recoverable):
    env = TextGenEnv(text.load(horizon=T, recoverable=recoverable, train=4), expert=True)
    returns = {
        correct: episode_return(env, correct)
        for correct in itertools.product((True, False), repeat=T)
    }
    rng = np.random.default_rng(0)
    for _ in range(20):
        policy = walker(T, rng.random(T), rng.random(T))
        mean = sum(
            probability(policy, correct, recoverable) * value for correct, value in returns.items()
        )
        assert -mean == pytest.approx(total_cost(tightrope(T, climb=recoverable), policy))


@pytest.mark.parametrize("recoverable", [True, False])
def test_one_error_costs_the_tabular_recoverability(recoverable):
    env = TextGenEnv(text.load(horizon=T, recoverable=recoverable, train=4), expert=True)
    worst = min(episode_return(env, tuple(t != error for t in range(T))) for error in range(T))
    u = recoverability(tightrope(T, climb=recoverable), walker(T, 0, 0))
    assert -worst == u == (2 if recoverable else T)
    assert episode_return(env, (True,) * T) == 0


def test_rendered_rewards_are_the_costs():
    env = gym.make("textgen_env:Tightrope-v0", expert=True, horizon=6, render_mode="ansi")
    _, info = env.reset(seed=0)
    env.step(JUMP)
    _, _, _, _, info = env.step(text.CLIMB)
    assert "reward -1 · return -2" in env.render()
    env.step(info["expert_action"])
    assert "reward +0 · return -2" in env.render()


def random_trajectories(task: Task, rows: int) -> Trajectories:
    generator = torch.Generator().manual_seed(0)
    action = torch.randint(UNK, len(task.vocabulary), (rows, task.horizon), generator=generator)
    return Trajectories(action, torch.full((rows,), task.horizon), torch.zeros(rows))


def score(reward: str, task: Task, episodes: Trajectories) -> np.ndarray:
    reward = rewards.make(reward, task, expert(task))
    return rewards.score_trajectories(reward, task, "train", range(len(episodes.action)), episodes)


def test_stepwise_rewards_equal_trajectory_rewards():
    task = text.load(horizon=T, train=8)
    episodes = random_trajectories(task, 8)
    earned = score("cost", task, episodes)
    env = TextGenEnv(task, split="train")
    for row in range(8):
        env.reset(options={"index": row})
        assert [env.step(int(token))[1] for token in episodes.action[row]] == earned[row].tolist()


def test_cost_of_copy_is_the_zero_one_loss(task):
    episodes = random_trajectories(task, 6)
    cost, zero_one = (score(name, task, episodes) for name in ("cost", "zero_one"))
    assert (cost == zero_one).all()
    assert cost.min() == -1


def test_cost_needs_an_exact_expert(task):
    with pytest.raises(UserError, match="reward='cost': Copy-v0 has no exact expert"):
        rewards.make("cost", task.with_vocabulary(task.vocabulary))


class ClimbingPolicy(torch.nn.Module):
    """Takes ``climb`` with the same probability in every state."""

    def __init__(self, size: int, climb: float) -> None:
        super().__init__()
        self.vocabulary_size = size
        probs = torch.full((size,), (1 - climb) / (size - 3))
        probs[text.CLIMB] = climb
        self.logits = probs.log()

    def forward(self, source, prefix, mask):
        return self.logits.expand(int(mask.sum()), -1)


@pytest.mark.parametrize("climb", [0.0, 0.3, 1.0])
def test_error_after_a_fall_of_a_policy_that_never_falls(climb):
    task = text.load(horizon=T, train=20)
    policy = ClimbingPolicy(len(task.vocabulary), climb)
    assert neural.error_after_fall(policy, task) == pytest.approx(1 - climb, abs=1e-6)
