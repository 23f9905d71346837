"""Costs-to-go Q(s, a): the cost of an action and of the roll-out that follows it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from agents.estimators.episodes import Reward, compute_rewards
from agents.generation.decoding import greedy
from agents.generation.interleaved import stepper
from agents.generation.rollout import rollout
from textgen_env.types import PAD, Batch, Oracle, Policy, Trajectories

# source [R, S], limit [R], forced first actions [R, F] → episodes
RollOut = Callable[[Tensor, Tensor, Tensor], Trajectories]


def oracle_rollout(oracle: Oracle) -> RollOut:
    """Roll out with the oracle's actions."""
    return partial(greedy, stepper(oracle, sampled=False), scored=False)


def student_rollout(policy: Policy) -> RollOut:
    """Roll out greedily with the policy."""
    return lambda source, limit, forced: rollout(policy, source, limit, forced=forced)


def cost_to_go(
    roll_out: RollOut, reward: Reward, batch: Batch, time: Tensor, action: Tensor
) -> Tensor:
    """Estimate costs-to-go ``[B, K]`` with one roll-out per action.

    A cost-to-go is minus the sum of the rewards from the action on (Ross & Bagnell 2014, section 2;
    Chang et al. 2015, Algorithm 1).

    Args:
        roll_out: completes a sequence, up to the limit of its source.
        reward: of the complete sequence.
        batch: B rows; each row's first ``time`` actions are its state.
        time: ``[B]``.
        action: ``[B, K]``, the actions to try in each state.
    """
    batch = batch.rows(torch.arange(len(batch)).repeat_interleave(action.shape[1]))  # [B·K]
    start = time.to(action.device).repeat_interleave(action.shape[1])[:, None]  # [B·K, 1]
    step = torch.arange(batch.target.shape[1], device=action.device)  # [T]
    prefix = batch.target.masked_fill(step > start, PAD)  # [B·K, T]
    forced = prefix.scatter(1, start, action.reshape(-1, 1))  # [B·K, T]
    episodes = roll_out(batch.source, batch.limit, forced)
    rewards = compute_rewards(reward, batch.index, episodes)  # [B·K, T']
    step = torch.arange(rewards.shape[1], device=action.device)  # [T']
    return -(rewards * (step >= start)).sum(1).view(action.shape).float()


def random_step(batch: Batch, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one step of each row.

    Steps beyond a source's limit, which long references have, are not drawn: no episode reaches
    them.

    Args:
        batch: B rows.
        noise: ``[B]``, uniform in [0, 1).

    Returns:
        The steps ``[B]``, and a mask ``[B, T]`` that is True at them; both on the CPU.
    """
    time = (noise * torch.minimum(batch.length, batch.limit)).long()
    return time, torch.arange(batch.target.shape[1]) == time[:, None]
