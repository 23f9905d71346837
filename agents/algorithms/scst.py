"""Self-critical sequence training (Rennie et al. 2017)."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.episodes import Reward, generate_episodes, log_probs_of
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Policy


class SCST(Algorithm):
    """REINFORCE with the greedy output's return as the baseline.

    ∇J = E[(G(y) - G(ŷ)) ∇log π(y | x)] for a sample y and the greedy output ŷ
    (Rennie et al. 2017, equation 8).

    Args:
        samples: sequences generated per source, beside the greedy one; multiplies the batch size
        cold_start: allow a student that has not been trained
    """

    uses_targets = False
    needs_start = True

    def __init__(
        self, policy: Policy, reward: Reward, samples: int = 1, cold_start: bool = False
    ) -> None:
        super().__init__()
        check_range("samples", samples, Range(1, 1000))
        self.policy, self.reward, self.samples = policy, reward, samples
        self.needs_start = not cold_start

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The policy gradient's surrogate."""
        greedy = generate_episodes(self.policy, self.reward, batch, None)
        episodes = generate_episodes(self.policy, self.reward, batch, clock.uniform, self.samples)
        advantage = episodes.returns - greedy.returns.repeat_interleave(self.samples)  # [B·K]
        log_probs, _ = log_probs_of(self.policy, episodes.batch)  # [B·K, T]
        return episodes.loss(-advantage * log_probs.sum(1), greedy_reward=greedy.returns.mean())


NAMES = {"scst": partial(SCST)}
