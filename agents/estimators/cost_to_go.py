"""What an action costs in the end: Q(s, a), the cost of what follows when somebody writes on from there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from agents.estimators.returns import Reward, check_finite
from agents.generation.mixture import Mixture, mixed
from textgen_env.types import PAD, Batch, Oracle, Policy


def roll_out_costs(
    policy: Policy,
    oracle: Oracle,
    reward: Reward,
    batch: Batch,
    time: Tensor,
    action: Tensor,
    expert: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, int]:
    """Cost-to-go ``[B, K]`` of each ``action`` ``[B, K]`` after the first ``time`` ``[B]`` actions, and tokens decoded.

    A roll-out goes to its end, or to the limit of its source, by the oracle where ``expert`` ``[B, K]``, else by the student,
    greedily.  Its cost is minus the sum of its rewards from the action on (Ross & Bagnell 2014, section 2;
    Chang et al. 2015, algorithm 1).
    """
    steps = int(batch.limit.max())
    rows = torch.arange(len(batch), device=time.device).repeat_interleave(action.shape[1])
    target = pad(batch.target, (0, steps - batch.target.shape[1]), value=PAD)  # [B, T]
    step, start = torch.arange(steps, device=time.device), time[rows, None]  # [T], [B·K, 1]
    given = target[rows].masked_fill(step >= start, PAD).scatter(1, start, action.reshape(-1, 1))  # [B·K, T]
    plan = expert.reshape(-1, 1).expand(-1, steps)  # [B·K, T]
    limit = batch.limit.repeat_interleave(action.shape[1])  # [B·K]
    written = mixed(Mixture(policy, oracle, plan, given), batch.source[rows], limit, generator)
    rewards = reward(batch.index[rows].cpu(), written)  # [B·K, T']
    check_finite(rewards, batch.index[rows])
    after = step[: rewards.shape[1]] >= start  # [B·K, T']
    cost = -(torch.from_numpy(rewards).to(time.device) * after).sum(1)  # [B·K]
    decoded = (written.length - start[:, 0] - 1)[~expert.flatten()].sum()
    return cost.view(action.shape).float(), int(decoded)


def someplace(batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A step ``[B]`` of each row, all equally likely, and the mask ``[B, T]`` that picks it.

    Steps beyond a source's limit, which a reference may have, are left out: no episode comes to them.
    """
    draw = torch.rand(len(batch), generator=generator).to(batch.length.device)
    time = (draw * torch.minimum(batch.length, batch.limit)).long().to(batch.target.device)  # [B]
    return time, torch.arange(batch.target.shape[1], device=time.device) == time[:, None]
