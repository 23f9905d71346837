"""MIXER, mixed incremental cross-entropy REINFORCE (Ranzato et al. 2016)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.baselines import Critic
from agents.estimators.episodes import Reward, generate_episodes, log_probs_of
from agents.estimators.returns import rewards_to_go
from textgen_env.errors import Range, check_range
from textgen_env.types import PAD, Batch, Policy


class Mixer(Algorithm):
    """Anneal from cross-entropy to REINFORCE, last tokens first.

    The first tokens of a sequence (its head) are the reference's and are trained by
    cross-entropy; the policy generates the rest (its tail), which is trained by REINFORCE with the
    paper's linear critic. The head shrinks from the whole reference to nothing, ``delta`` tokens at
    a time (Ranzato et al. 2016, Algorithm 1). In the paper all sentences have one length; here the
    head of each sentence shrinks in proportion to its length.

    Args:
        delta: tokens by which the tail grows at a time
        anneal: fraction of the training after which the head is empty
        cold_start: allow a student that has not been trained
    """

    needs_start = True

    def __init__(
        self,
        policy: Policy,
        reward: Reward,
        delta: int = 2,
        anneal: float = 0.75,
        cold_start: bool = False,
    ) -> None:
        super().__init__()
        check_range("delta", delta, Range(1, 1000))
        check_range("anneal", anneal, Range(0, 1, "least"))
        self.policy, self.reward, self.delta, self.anneal = policy, reward, delta, anneal
        self.needs_start = not cold_start
        self.critic = Critic(policy.feature_width)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """NLL of the head, and REINFORCE on the tail."""
        head = self.head(batch.length, clock.progress).to(batch.target.device)  # [B]
        forced = batch.target.masked_fill(~positions_before(head, batch.target), PAD)  # [B, T]
        episodes = generate_episodes(
            self.policy, self.reward, batch, clock.uniform, forced=forced[:, None]
        )
        log_probs, features = log_probs_of(self.policy, episodes.batch)  # [B, T'], [N, D]
        returns, mask = rewards_to_go(episodes.rewards), episodes.batch.mask  # [B, T']
        tail = mask & ~positions_before(head, mask)
        values = self.critic(features, mask)
        weight = (returns - values.detach()).where(tail, 1.0)  # 1 on the head: cross-entropy
        losses = self.critic.loss(values, returns, tail) - (weight * log_probs).sum(1)  # [B]
        return episodes.loss(losses, head=head.float().mean())

    def head(self, length: Tensor, progress: float) -> Tensor:
        """Number of head tokens ``[B]`` for references of the given ``length`` ``[B]``."""
        stages = -(-length // self.delta)  # until the head is empty
        return (length - self.delta * (progress / self.anneal * (stages + 1)).long()).clamp(min=0)


def positions_before(end: Tensor, action: Tensor) -> Tensor:
    """Mask ``[B, T]`` of the positions of ``action`` ``[B, T]`` before ``end`` ``[B]``."""
    return torch.arange(action.shape[1], device=action.device) < end[:, None]


NAMES = {"mixer": partial(Mixer)}
