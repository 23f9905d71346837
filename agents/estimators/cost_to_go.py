"""What an action costs in the end: Q(s, a), the cost of it and of all that follows when somebody rolls out from there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from agents.estimators.episodes import Reward, score
from agents.generation.decoding import greedy
from agents.generation.interleaved import stepper
from agents.generation.rollout import rollout
from textgen_env.types import PAD, Batch, Oracle, Policy, Trajectories

RollOut = Callable[
    [Tensor, Tensor, Tensor], Trajectories
]  # source [R, S], limit [R], first actions [R, F] → episodes


def by_oracle(oracle: Oracle) -> RollOut:
    """The oracle acts."""
    return partial(greedy, stepper(oracle, draws=False), scored=False)


def by_student(policy: Policy) -> RollOut:
    """The policy acts, greedily."""
    return lambda source, limit, forced: rollout(policy, source, limit, forced=forced)


def cost_to_go(
    roll_out: RollOut, reward: Reward, batch: Batch, time: Tensor, action: Tensor
) -> Tensor:
    """The cost ``[B, K]`` of each action, tried once: minus the sum of the rewards from it on.

    Args:
        roll_out: generates what follows, to the end or to the limit of the source.
        reward: scores.
        batch: whose states are tried in.
        time: ``[B]``, how many of a row's actions come before.
        action: ``[B, K]``, of each state (Ross & Bagnell 2014, section 2; Chang et al. 2015, algorithm 1).
    """
    batch = batch.rows(torch.arange(len(batch)).repeat_interleave(action.shape[1]))  # [B·K]
    start = time.to(action.device).repeat_interleave(action.shape[1])[:, None]  # [B·K, 1]
    step = torch.arange(batch.target.shape[1], device=action.device)  # [T]
    forced = batch.target.masked_fill(step > start, PAD).scatter(
        1, start, action.reshape(-1, 1)
    )  # [B·K, T]
    episodes = roll_out(batch.source, batch.limit, forced)
    rewards = score(reward, batch.index, episodes)  # [B·K, T']
    step = torch.arange(rewards.shape[1], device=action.device)  # [T']
    return -(rewards * (step >= start)).sum(1).view(action.shape).float()


def random_step(batch: Batch, noise: Tensor) -> tuple[Tensor, Tensor]:
    """A step ``[B]`` of each row, by ``noise`` ``[B]`` in [0, 1), and the mask ``[B, T]`` that picks it; on the CPU.

    Steps beyond a source's limit, which a reference may have, are left out: no episode comes to them.
    """
    time = (noise * torch.minimum(batch.length, batch.limit)).long()
    return time, torch.arange(batch.target.shape[1]) == time[:, None]
