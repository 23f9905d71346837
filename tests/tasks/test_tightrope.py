"""One cost for the tightrope: the environment's reward, the laboratory's tables and what is rendered are the same."""

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
from textgen_env.tasks import copy
from textgen_env.tasks import tightrope as words
from textgen_env.tasks.task import Task, expert
from textgen_env.types import Trajectories

T = 5
JUMP = words.CLIMB + 3


def returned(env: TextGenEnv, right: tuple[bool, ...]) -> float:
    """The return of the episode whose actions are the expert's where ``right`` says so, else a fall."""
    _, info = env.reset(options={"index": 0})
    total = 0.0
    for agrees in right:
        action = info["expert_action"] if agrees else JUMP
        _, reward, _, over, info = env.step(action)
        total += reward
    assert over
    return total


def chance(policy: Array, right: tuple[bool, ...], recoverable: bool) -> float:
    """The probability of these actions under a laboratory's ``policy`` ``[T, 2, A]``."""
    state, product = ROPE, 1.0
    for t, agrees in enumerate(right):
        product *= policy[t, state, RIGHT] if agrees else policy[t, state, 1:].sum()
        stays_up = agrees and (state == ROPE or recoverable)
        state = ROPE if stays_up else GROUND
    return product


@pytest.mark.parametrize("recoverable", [True, False])
def test_the_mean_return_is_minus_the_laboratorys_exact_cost(recoverable: bool) -> None:
    env = TextGenEnv(words.load(horizon=T, recoverable=recoverable, train=4), expert=True)
    episodes = list(itertools.product((True, False), repeat=T))
    returns = [returned(env, right) for right in episodes]
    rng = np.random.default_rng(0)
    for _ in range(20):
        policy = walker(T, rng.random(T), rng.random(T))
        mean = sum(
            chance(policy, right, recoverable) * value
            for right, value in zip(episodes, returns, strict=True)
        )
        assert -mean == pytest.approx(total_cost(tightrope(T, climb=recoverable), policy))


@pytest.mark.parametrize("recoverable", [True, False])
def test_one_wrong_word_costs_the_laboratorys_u(recoverable: bool) -> None:
    env = TextGenEnv(words.load(horizon=T, recoverable=recoverable, train=4), expert=True)
    worst = min(returned(env, tuple(t != fall for t in range(T))) for fall in range(T))
    u = recoverability(tightrope(T, climb=recoverable), walker(T, 0, 0))
    assert -worst == u == (2 if recoverable else T)
    assert returned(env, (True,) * T) == 0


def test_what_is_rendered_is_that_cost() -> None:
    env = gym.make("textgen_env:Tightrope-v0", expert=True, horizon=6, render_mode="ansi")
    _, info = env.reset(seed=0)
    for fall in (True, False):
        _, _, _, _, info = env.step(JUMP if fall else info["expert_action"])
    assert "reward -1 · return -2" in env.render()
    env.step(info["expert_action"])
    assert "reward +0 · return -2" in env.render()


def all_at_once(task: Task, action: torch.Tensor) -> np.ndarray:
    length = torch.full((len(action),), action.shape[1])
    written = Trajectories(action, length, length.float())
    reward = rewards.make(task.reward, task)
    return rewards.score_trajectories(reward, task, "train", range(len(action)), written)


def test_whole_episodes_are_paid_as_single_steps() -> None:
    task = words.load(horizon=T, train=8)
    action = torch.randint(
        words.UNK, len(task.vocabulary), (8, T), generator=torch.Generator().manual_seed(0)
    )
    paid = all_at_once(task, action)
    env = TextGenEnv(task, split="train")
    for row in range(8):
        env.reset(options={"index": row})
        assert [env.step(int(token))[1] for token in action[row]] == paid[row].tolist()


def test_elsewhere_the_cost_is_the_disagreement_with_the_exact_expert(task: Task) -> None:
    action = torch.randint(
        3, len(task.vocabulary), (6, task.horizon), generator=torch.Generator().manual_seed(0)
    )
    length = torch.full((6,), task.horizon)
    written = Trajectories(action, length, length.float())
    cost, zero_one = (
        rewards.score_trajectories(
            rewards.make(name, task, expert(task)), task, "train", range(6), written
        )
        for name in ("cost", "zero_one")
    )
    assert (cost == zero_one).all()
    assert cost.min() == -1


def test_a_task_without_an_exact_expert_has_no_cost(task: Task) -> None:
    with pytest.raises(UserError, match="reward='cost': Copy-v0 has no exact expert"):
        rewards.make("cost", task.with_vocabulary(task.vocabulary))
    assert copy.load(train=4, valid=1, test=1).reward == "zero_one"


class Told(torch.nn.Module):
    """A policy that climbs with the chance ``climb`` wherever it is."""

    def __init__(self, size: int, climb: float) -> None:
        super().__init__()
        other = (1 - climb) / (size - 3)
        self.vocabulary_size = size
        self.logits = (
            torch.full((size,), other).index_fill(0, torch.tensor([words.CLIMB]), climb).log()
        )

    def forward(
        self, source: torch.Tensor, prefix: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        return self.logits.expand(int(mask.sum()), -1)


@pytest.mark.parametrize("climb", [0.0, 0.3, 1.0])
def test_the_error_after_a_fall_is_known_of_a_student_that_never_falls(climb: float) -> None:
    task = words.load(horizon=T, train=20)
    policy = Told(len(task.vocabulary), climb)
    assert neural.error_after_fall(policy, task) == pytest.approx(1 - climb, abs=1e-6)
