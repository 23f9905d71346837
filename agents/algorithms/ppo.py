"""Proximal policy optimization (Schulman et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import UPDATES_PER_ROUND, Algorithm, Clock, Loss
from agents.estimators.baselines import Critic
from agents.estimators.episodes import Reward, ScoredEpisodes, generate_episodes, log_probs_of
from agents.estimators.returns import generalized_advantage
from agents.generation.rollout import frozen_copy
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Policy


@dataclass(frozen=True)
class Experience:
    """R episodes and what the updates on them need.

    Attributes:
        episodes: with the task's rewards.
        log_probs: ``[R, T]``, under the policy that generated them.
        advantage: ``[R, T]``, Â of the rewards with the KL penalty.
        returns: ``[R, T]``, the critic's targets.
        kl: ``[R]``, each episode's log-ratio to the initial policy.
    """

    episodes: ScoredEpisodes
    log_probs: Tensor
    advantage: Tensor
    returns: Tensor
    kl: Tensor


class PPO(Algorithm):
    """Policy gradient with clipped updates and a KL penalty.

    J = E[Σ_t min(ρ_t Â_t, clip(ρ_t, 1 - ε, 1 + ε) Â_t)], ρ_t = π(a_t | s_t) / π_old(a_t | s_t)
    (Schulman et al. 2017, equation 7), where Â is the generalized advantage estimate. Each action's
    reward is the task's minus kl · log(π_old(a | s) / π₀(a | s)), where π₀ is the initial policy
    (Ziegler et al. 2019, equation 2).

    Args:
        samples: sequences generated per source; multiplies the batch size
        epochs: updates on the same episodes
        clip: ε, the clipping range of the probability ratio
        trace: λ of the generalized advantage estimate; 1: reward to go minus the critic's value
        kl: coefficient of the KL penalty; 0: no penalty
        cold_start: allow a student that has not been trained
    """

    uses_targets = False
    needs_start = True

    def __init__(
        self,
        policy: Policy,
        reward: Reward,
        samples: int = 4,
        epochs: int = 4,
        clip: float = 0.2,
        trace: float = 0.95,
        kl: float = 0.01,
        cold_start: bool = False,
    ) -> None:
        super().__init__()
        check_range("samples", samples, Range(1, 1000))
        check_range("epochs", epochs, Range(1, UPDATES_PER_ROUND))
        check_range("clip", clip, Range(0, 10**6, "least"))
        check_range("trace", trace, Range(0, 1))
        check_range("kl", kl, Range(0, 10**6))
        self.policy, self.initial_policy, self.reward = policy, frozen_copy(policy), reward
        self.samples, self.epochs, self.clip, self.trace, self.kl = samples, epochs, clip, trace, kl
        self.needs_start, self.updates_per_batch = not cold_start, epochs
        self.critic = Critic(policy.feature_width)

    def updates(self, batches: list[Batch], clock: Clock) -> Iterator[Loss]:
        """For each batch, generate episodes once and update on them ``epochs`` times."""
        for number, batch in enumerate(batches):
            experience = self.collect(batch, clock.later(number * self.epochs))
            for _ in range(self.epochs):
                yield self.surrogate(experience)

    @torch.no_grad()
    def collect(self, batch: Batch, clock: Clock) -> Experience:
        """Generate episodes and estimate their advantages."""
        episodes = generate_episodes(self.policy, self.reward, batch, clock.uniform, self.samples)
        log_probs, features = log_probs_of(self.policy, episodes.batch)  # [R, T], [N, D]
        log_ratio = log_probs - log_probs_of(self.initial_policy, episodes.batch)[0]  # [R, T]
        values = self.critic(features, episodes.batch.mask)  # [R, T]
        rewards = episodes.rewards - self.kl * log_ratio
        advantage = generalized_advantage(rewards, values, self.trace)
        return Experience(episodes, log_probs, advantage, advantage + values, log_ratio.sum(1))

    def surrogate(self, old: Experience) -> Loss:
        """The clipped surrogate plus the critic's error."""
        batch = old.episodes.batch
        log_probs, features = log_probs_of(self.policy, batch)  # [R, T], [N, D]
        ratio = (log_probs - old.log_probs).exp()
        clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
        objective = torch.minimum(ratio * old.advantage, clipped * old.advantage)
        error = self.critic.loss(self.critic(features, batch.mask), old.returns, batch.mask)  # [R]
        fraction = ((ratio - 1).abs() > self.clip).sum() / batch.tokens
        return old.episodes.loss(error - objective.sum(1), kl=old.kl.mean(), clipped=fraction)


NAMES = {"ppo": partial(PPO)}
