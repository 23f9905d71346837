"""REINFORCE leave-one-out (Kool et al. 2019; Ahmadian et al. 2024)."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.episodes import Reward, generate_episodes, log_probs_of
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Policy


class RLOO(Algorithm):
    """REINFORCE with the other samples' mean as the baseline.

    ∇J = E[1/K Σ_k (G_k - 1/(K-1) Σ_{j≠k} G_j) ∇log π(y_k | x)] over K samples y_k of the same
    source x with returns G_k (Kool et al. 2019; Ahmadian et al. 2024).

    Args:
        samples: K, sequences generated per source, at least 2; multiplies the batch size
        cold_start: allow a student that has not been trained
    """

    uses_targets = False
    needs_start = True

    def __init__(
        self, policy: Policy, reward: Reward, samples: int = 4, cold_start: bool = False
    ) -> None:
        super().__init__()
        check_range("samples", samples, Range(2, 1000))
        self.policy, self.reward, self.samples = policy, reward, samples
        self.needs_start = not cold_start

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The policy gradient's surrogate."""
        episodes = generate_episodes(self.policy, self.reward, batch, clock.uniform, self.samples)
        returns = episodes.returns.view(-1, self.samples)  # [B, K]
        baseline = (returns.sum(1, keepdim=True) - returns) / (self.samples - 1)  # [B, K]
        advantage = (returns - baseline).flatten()  # [B·K]
        log_probs, _ = log_probs_of(self.policy, episodes.batch)  # [B·K, T]
        return episodes.loss(-advantage * log_probs.sum(1), return_std=returns.std(1).mean())


NAMES = {"rloo": partial(RLOO)}
