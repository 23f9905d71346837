"""REINFORCE with the other samples of the same source as the baseline."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.episodes import Reward, generate_episodes, log_probs_of
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Policy


class RLOO(Algorithm):
    """Leave one out: each of K samples is compared with the mean of the others (Kool et al. 2019; Ahmadian et al. 2024).

    Args:
        samples: K, sequences generated for each source; the batch grows by as much.
        cold_start: allow a student that was not trained before.
    """

    needs_start = True

    def __init__(
        self, policy: Policy, reward: Reward, samples: int = 4, cold_start: bool = False
    ) -> None:
        super().__init__()
        check_range(
            "samples", samples, Range(2, 1000)
        )  # one is left out; of a single sample: algorithm=reinforce
        self.policy, self.reward, self.samples, self.needs_start = (
            policy,
            reward,
            samples,
            not cold_start,
        )

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """-Σ_k (G_k - mean of the others' G) log π(y_k | x) / K."""
        episodes = generate_episodes(self.policy, self.reward, batch, clock.uniform, self.samples)
        returns = episodes.returns.view(-1, self.samples)  # [B, K]
        others = (returns.sum(1, keepdim=True) - returns) / (self.samples - 1)  # [B, K]
        advantage = (returns - others).flatten()  # [B·K]
        log_probs, _ = log_probs_of(self.policy, episodes.batch)  # [B·K, T]
        return episodes.loss(-advantage * log_probs.sum(1), return_std=returns.std(1).mean())


NAMES = {"rloo": partial(RLOO)}
