"""PPO: several steps on the same episodes, none of them far from the policy that generated them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import UPDATES_PER_ROUND, Algorithm, Clock, Loss
from agents.estimators.baselines import Critic
from agents.estimators.episodes import Episodes, Reward, generate_episodes, log_probs_of
from agents.estimators.returns import generalized_advantage
from agents.generation.rollout import frozen
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Policy


@dataclass(frozen=True)
class Experience:
    """R episodes, and what the policy that generated them thought of their actions.

    Attributes:
        episodes: with the task's rewards.
        log_probs: ``[R, T]``.
        advantage: Â ``[R, T]``, of the rewards less the price of the distance to the start.
        returns: ``[R, T]``, what the critic should say.
        kl: ``[R]``, an episode's log-ratio to the starting policy.
    """

    episodes: Episodes
    log_probs: Tensor
    advantage: Tensor
    returns: Tensor
    kl: Tensor


class PPO(Algorithm):
    """Maximize Σ_t min(ρ_t Â_t, clip(ρ_t, 1 - ε, 1 + ε) Â_t), ρ_t = π(a_t | s_t) / π_old(a_t | s_t) (Schulman et al. 2017).

    The rewards are those of the task less kl · log(π_old / π₀) of every action, π₀ the starting policy (Ziegler et al. 2019,
    equation 2).

    Args:
        samples: sequences generated for each source; the batch grows by as much.
        epochs: gradient steps on the same episodes.
        clip: ε, how far a probability ratio may go and still be pushed further.
        trace: λ of the generalized advantage estimate; 1: the whole reward to go less the critic's value.
        kl: price of a nat away from the starting policy; 0: free.
        cold_start: allow a student that was not trained before.
    """

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
        self.policy, self.start, self.reward, self.needs_start = (
            policy,
            frozen(policy),
            reward,
            not cold_start,
        )
        self.samples, self.epochs, self.clip, self.trace, self.kl = samples, epochs, clip, trace, kl
        self.critic = Critic(policy.feature_width)

    def updates(self, batches: list[Batch], clock: Clock) -> Iterator[Loss]:
        """``epochs`` updates on what the policy before them generates."""
        for number, batch in enumerate(batches):
            experience = self.collect(batch, clock.later(number * self.epochs))
            for _ in range(self.epochs):
                yield self.surrogate(experience)

    @torch.no_grad()
    def collect(self, batch: Batch, clock: Clock) -> Experience:
        """Roll out, and estimate the advantages."""
        episodes = generate_episodes(self.policy, self.reward, batch, clock.uniform, self.samples)
        log_probs, features = log_probs_of(self.policy, episodes.batch)  # [R, T], [N, D]
        log_ratio = log_probs - log_probs_of(self.start, episodes.batch)[0]  # [R, T]
        values = self.critic(features, episodes.batch.mask)  # [R, T]
        advantage = generalized_advantage(
            episodes.rewards - self.kl * log_ratio, values, self.trace
        )
        return Experience(episodes, log_probs, advantage, advantage + values, log_ratio.sum(1))

    def surrogate(self, old: Experience) -> Loss:
        """The clipped surrogate and the critic's error."""
        batch = old.episodes.batch
        log_probs, features = log_probs_of(self.policy, batch)  # [R, T], [N, D]
        ratio = (log_probs - old.log_probs).exp()
        gain = torch.minimum(
            ratio * old.advantage, ratio.clamp(1 - self.clip, 1 + self.clip) * old.advantage
        )
        error = self.critic.loss(self.critic(features, batch.mask), old.returns, batch.mask)  # [R]
        clipped = ((ratio - 1).abs() > self.clip).sum() / batch.tokens
        return old.episodes.loss(error - gain.sum(1), kl=old.kl.mean(), clipped=clipped)


NAMES = {"ppo": partial(PPO)}
