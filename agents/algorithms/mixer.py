"""MIXER: from cross-entropy to REINFORCE, from the end of the sentence to its beginning."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.baselines import Critic
from agents.estimators.episodes import Reward, generate_episodes, log_probs_of
from agents.estimators.returns import to_go
from textgen_env.errors import Range, check_range
from textgen_env.types import PAD, Batch, Policy


class Mixer(Algorithm):
    """The head of a sequence is the reference's, learned by cross-entropy; the policy generates its tail, by REINFORCE.

    The head shrinks by ``delta`` tokens at a time (Ranzato et al. 2016, Algorithm 1), from the whole reference to nothing.
    (Theirs has one length for all sentences.) The baseline is their linear critic.

    Args:
        delta: tokens by which the tail grows at a time.
        anneal: share of the training after which nothing is left of the head.
        cold_start: allow a student that was not trained before.
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
        """NLL of the head, and REINFORCE on the tail that the policy generated after it."""
        head = self.head(batch.length, clock.progress).to(batch.target.device)  # [B]
        forced = batch.target.masked_fill(~before(head, batch.target), PAD)  # [B, T]
        episodes = generate_episodes(
            self.policy, self.reward, batch, clock.uniform, forced=forced[:, None]
        )
        log_probs, features = log_probs_of(self.policy, episodes.batch)  # [B, T'], [N, D]
        returns, mask = to_go(episodes.rewards), episodes.batch.mask  # [B, T']
        tail = mask & ~before(head, mask)
        values = self.critic(features, mask)
        weight = (returns - values.detach()).where(
            tail, 1.0
        )  # cross-entropy is REINFORCE of what surely pays 1
        losses = self.critic.loss(values, returns, tail) - (weight * log_probs).sum(1)  # [B]
        return episodes.loss(losses, head=head.float().mean())

    def head(self, length: Tensor, progress: float) -> Tensor:
        """How many tokens are the reference's, ``[B]``, of references of that ``length`` ``[B]``."""
        stages = -(-length // self.delta)  # until nothing is left
        return (length - self.delta * (progress / self.anneal * (stages + 1)).long()).clamp(min=0)


def before(end: Tensor, action: Tensor) -> Tensor:
    """Which of the positions of ``action`` ``[B, T]`` come before ``end`` ``[B]``: bool ``[B, T]``."""
    return torch.arange(action.shape[1], device=action.device) < end[:, None]


NAMES = {"mixer": partial(Mixer)}
