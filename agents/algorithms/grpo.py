"""Group-relative policy optimization (Shao et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import UPDATES_PER_ROUND, Algorithm, Clock, Loss
from agents.estimators.episodes import Reward, ScoredEpisodes, generate_episodes, log_probs_of
from agents.generation.rollout import frozen_copy
from textgen_env.errors import Range, check_range, unknown
from textgen_env.types import Batch, Policy

LOSS_TYPES = ("grpo", "dapo", "dr_grpo")
EPSILON = 1e-4  # added to the standard deviation, as in TRL


@dataclass(frozen=True)
class Group:
    """The episodes of some sources and what the updates on them need.

    Attributes:
        episodes: R episodes, K of each source.
        log_probs: ``[R, T]``, under the policy that generated them.
        initial: ``[R, T]``, the same under π₀; None without a KL penalty.
        advantage: ``[R, 1]``.
    """

    episodes: ScoredEpisodes
    log_probs: Tensor
    initial: Tensor | None
    advantage: Tensor


class GRPO(Algorithm):
    """Policy gradient with advantages relative to the other samples of the source.

    J = E[Σ_t min(ρ_t A, clip(ρ_t, 1 - ε, 1 + ε) A) - kl · D_t] with ρ_t = π(a_t | s_t) /
    π_old(a_t | s_t) (Shao et al. 2024, "DeepSeekMath", equation 3). For K samples of a source with
    returns G_k, A_k = (G_k - mean(G)) / (std(G) + 10⁻⁴), the same at every step. The penalty is
    D_t = π₀/π - log(π₀/π) - 1 at a_t (equation 4), where π₀ is the initial policy.

    ``scale_rewards`` and ``loss_type`` are TRL's keys, with its defaults. TRL can also scale by the
    standard deviation of a whole batch, which would depend on how the batch is divided.

    Args:
        samples: K, sequences generated per source, at least 2; multiplies the batch size
        epochs: updates on the same episodes
        clip: ε, the clipping range of the probability ratio
        scale_rewards: divide by std(G); false: A_k = G_k - mean(G), as in Dr. GRPO
        loss_type: the sum over t becomes a mean over all tokens (dapo), a mean over each episode's
            tokens (grpo) or stays a sum (dr_grpo, up to its constant)
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
        epochs: int = 1,
        clip: float = 0.2,
        scale_rewards: bool = True,
        loss_type: str = "dapo",
        kl: float = 0.0,
        cold_start: bool = False,
    ) -> None:
        super().__init__()
        check_range("samples", samples, Range(2, 1000))
        check_range("epochs", epochs, Range(1, UPDATES_PER_ROUND))
        check_range("clip", clip, Range(0, 10**6, "least"))
        check_range("kl", kl, Range(0, 10**6))
        if loss_type not in LOSS_TYPES:
            raise unknown("loss_type", loss_type, LOSS_TYPES)
        self.policy, self.reward, self.samples, self.epochs = policy, reward, samples, epochs
        self.clip, self.scale_rewards, self.loss_type, self.kl = clip, scale_rewards, loss_type, kl
        self.initial_policy = frozen_copy(policy) if kl else None  # π₀
        self.needs_start, self.updates_per_batch = not cold_start, epochs

    def updates(self, batches: list[Batch], clock: Clock) -> Iterator[Loss]:
        """For each batch, generate episodes once and update on them ``epochs`` times."""
        for number, batch in enumerate(batches):
            group = self.collect(batch, clock.later(number * self.epochs))
            for _ in range(self.epochs):
                yield self.surrogate(group)

    @torch.no_grad()
    def collect(self, batch: Batch, clock: Clock) -> Group:
        """Generate K episodes of each source and compare their returns."""
        episodes = generate_episodes(self.policy, self.reward, batch, clock.uniform, self.samples)
        log_probs, _ = log_probs_of(self.policy, episodes.batch)  # [R, T]
        initial = None
        if self.initial_policy is not None:
            initial, _ = log_probs_of(self.initial_policy, episodes.batch)  # [R, T]
        returns = episodes.returns.view(-1, self.samples)  # [B, K]
        advantage = returns - returns.mean(1, keepdim=True)
        if self.scale_rewards:
            advantage = advantage / (returns.std(1, keepdim=True) + EPSILON)
        return Group(episodes, log_probs, initial, advantage.view(-1, 1))

    def surrogate(self, old: Group) -> Loss:
        """The clipped surrogate plus the penalty."""
        log_probs, _ = log_probs_of(self.policy, old.episodes.batch)  # [R, T], 0 after the end
        ratio = (log_probs - old.log_probs).exp()
        clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
        losses = -torch.minimum(ratio * old.advantage, clipped * old.advantage)  # [R, T]
        penalty = torch.zeros_like(losses)
        if old.initial is not None:
            log_ratio = old.initial - log_probs  # [R, T], of π₀ to π
            penalty = log_ratio.exp() - log_ratio - 1
        batch = old.episodes.batch
        totals = ((losses + self.kl * penalty) * batch.mask).sum(1)  # [R]
        if self.loss_type == "grpo":
            totals = totals / batch.mask.sum(1)
        fraction = ((ratio - 1).abs() > self.clip).sum() / batch.tokens
        kl = penalty.detach().sum() / batch.tokens
        loss = old.episodes.loss(totals, clipped=fraction, kl=kl)
        if self.loss_type == "dapo":
            loss.weight = batch.tokens
        return loss


NAMES = {"grpo": partial(GRPO)}
