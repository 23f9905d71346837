"""REINFORCE: push up the actions that earned more than expected."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.baselines import baseline as make_baseline
from agents.estimators.episodes import Reward, generate_episodes, log_probs_of
from agents.estimators.returns import to_go
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Policy


class Reinforce(Algorithm):
    """∇J = E[Σ_t (G_t - b_t) ∇log π(a_t | s_t)], G_t: what is earned from step t on (Williams 1992).

    Args:
        samples: sequences generated for each source; the batch grows by as much.
        baseline: b_t is running, the mean return so far, or critic, a linear map of the policy's features.
        cold_start: allow a student that was not trained before.
    """

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
        self.policy, self.reward, self.samples, self.needs_start = (
            policy,
            reward,
            samples,
            not cold_start,
        )
        self.baseline = make_baseline(baseline, policy)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The policy gradient, and what the baseline's prediction is off by."""
        episodes = generate_episodes(self.policy, self.reward, batch, clock.uniform, self.samples)
        log_probs, features = log_probs_of(self.policy, episodes.batch)  # [R, T], [N, D]
        returns, mask = to_go(episodes.rewards), episodes.batch.mask  # [R, T]
        values = self.baseline(features, mask)  # [R, T]
        advantage = returns - values.detach()
        losses = self.baseline.loss(values, returns, mask) - (advantage * log_probs).sum(1)  # [R]
        return episodes.loss(losses, advantage=advantage.sum() / episodes.batch.tokens)


NAMES = {"reinforce": partial(Reinforce)}
