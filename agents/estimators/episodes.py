"""Episodes that a policy generates, what they earn, and how probable they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agents.estimators.returns import padded
from agents.generation.rollout import rollout, without_dropout
from agents.losses.loss import Loss
from textgen_env.errors import UserError
from textgen_env.types import EOS, PAD, Batch, Policy, Trajectories, select_positions

Reward = Callable[
    [Tensor, Trajectories], np.ndarray
]  # rows [B] of the training split, episodes → float64 [B, T]


@dataclass(frozen=True)
class Episodes:
    """R episodes and what they earned.

    Attributes:
        batch: the episodes; the K of one source stand side by side.
        rewards: ``[R, T]`` float32, 0 after the end.
    """

    batch: Batch
    rewards: Tensor

    @property
    def returns(self) -> Tensor:
        """``[R]``."""
        return self.rewards.sum(1)

    def loss(self, losses: Tensor, **metrics: float | Tensor) -> Loss:
        """The mean of ``losses``, one an episode ``[R]`` or one a source ``[B]``, with what every such algorithm logs."""
        length = self.batch.tokens / len(self.batch)
        metrics = {"reward": self.returns.mean(), "length": length, **metrics}
        return Loss(losses.sum(), len(losses), metrics, self.batch.tokens)


def generate_episodes(
    policy: Policy,
    reward: Reward,
    batch: Batch,
    uniform: Callable[..., Tensor] | None,
    samples: int = 1,
    forced: Tensor | None = None,
) -> Episodes:
    """Sample from the policy's whole distribution, each episode up to its source's limit, and reward it.

    Args:
        policy: generates.
        reward: scores.
        batch: B sources.
        uniform: the noise, ``clock.uniform``; None: greedily.
        samples: K, episodes for each source.
        forced: ``[B, K, F]``, what they begin with, PAD after. What is given beyond the limit is kept.
    """
    batch = batch.rows(torch.arange(len(batch)).repeat_interleave(samples))  # [B·K] = [R]
    limit, noise = batch.limit, None
    if forced is not None:
        forced = forced.flatten(0, 1)  # [R, F]
        limit = limit.maximum((forced != PAD).sum(1).cpu())
    if uniform is not None:  # in this order, a row's numbers are the same whatever T its batch has
        noise = uniform("episodes", batch.row[::samples], int(limit.max()), samples).mT.flatten(
            0, 1
        )  # [R, T]
    trajectories = rollout(policy, batch.source, limit, noise, forced=forced)
    rewards = score(reward, batch.index, trajectories)
    batch = replace(batch, target=trajectories.action, length=trajectories.length.cpu())
    return Episodes(batch, rewards.float())


def log_probs_of(policy: Policy, batch: Batch) -> tuple[Tensor, Tensor]:
    """Log-probabilities ``[R, T]`` of the actions in ``batch``, and features ``[N, D]`` of their states.

    They are of the distribution that generates, without dropout and without PAD and BOS: with either, the samples would
    be another policy's and their gradient biased.
    """
    with without_dropout(policy):
        features = policy.features(batch.source, batch.prefix, batch.mask_cpu)  # [N, D]
        logits = policy.head(features)[:, EOS:].float()  # PAD and BOS come before EOS
    action = select_positions(batch.target, batch.mask_cpu) - EOS  # [N]
    return padded(-F.cross_entropy(logits, action, reduction="none"), batch.mask), features


def score(reward: Reward, index: Tensor, trajectories: Trajectories) -> Tensor:
    """Rewards ``[R, T]`` of trajectories for the training rows ``index`` ``[R]``.

    Raises:
        UserError: one is not finite, which would spoil every weight.
    """
    rewards = reward(index.cpu(), trajectories)
    wrong = np.argwhere(~np.isfinite(rewards))
    if len(wrong):
        row, step = wrong[0].tolist()
        raise UserError(
            f"the reward of training row {int(index[row])} at step {step + 1} is {rewards[row, step]}: "
            "rewards must be finite; choose another reward= or mend the function"
        )
    return torch.from_numpy(rewards).to(trajectories.action.device)
