"""REINFORCE (Williams 1992)."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.baselines import make_baseline
from agents.estimators.episodes import Reward, generate_episodes, log_probs_of
from agents.estimators.returns import rewards_to_go
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Policy


class Reinforce(Algorithm):
    """Maximize the reward by policy gradient with a baseline.

    ∇J = E[Σ_t (G_t - b_t) ∇log π(a_t | s_t)], where G_t is the sum of the rewards from step t on
    (Williams 1992).

    Args:
        samples: sequences generated per source; multiplies the batch size
        baseline: b_t: running (mean return so far) or critic (linear in the policy's features)
        cold_start: allow a student that has not been trained
    """

    uses_targets = False
    needs_start = True

    def __init__(
        self,
        policy: Policy,
        reward: Reward,
        samples: int = 1,
        baseline: str = "critic",
        cold_start: bool = False,
    ) -> None:
        super().__init__()
        check_range("samples", samples, Range(1, 1000))
        self.policy, self.reward, self.samples = policy, reward, samples
        self.needs_start = not cold_start
        self.baseline = make_baseline(baseline, policy)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The policy gradient's surrogate plus the error of the baseline."""
        episodes = generate_episodes(self.policy, self.reward, batch, clock.uniform, self.samples)
        log_probs, features = log_probs_of(self.policy, episodes.batch)  # [R, T], [N, D]
        returns, mask = rewards_to_go(episodes.rewards), episodes.batch.mask  # [R, T]
        values = self.baseline(features, mask)  # [R, T]
        advantage = returns - values.detach()
        losses = self.baseline.loss(values, returns, mask) - (advantage * log_probs).sum(1)  # [R]
        return episodes.loss(losses, advantage=advantage.sum() / episodes.batch.tokens)


NAMES = {"reinforce": partial(Reinforce)}
