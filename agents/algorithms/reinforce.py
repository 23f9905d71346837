"""REINFORCE: push up the actions that earned more than expected."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from agents.algorithms import Algorithm, LossOutput
from agents.estimators.baselines import baseline as make_baseline
from agents.estimators.returns import Player, Reward, act_log_probs, to_go
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class Reinforce(Algorithm):
    """∇J = E[Σ_t (G_t - b_t) ∇log π(a_t | s_t)], G_t: what is earned from step t on (Williams 1992).

    Args:
        samples: sequences written for each source; the batch grows by as much.
        baseline: b_t is running, the mean return so far, or critic, a linear map of the policy's features.
        cold_start: allow a student that was not trained before.
    """

    needs_start = True

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        generator: torch.Generator,
        reward: Reward,
        samples: int = 1,
        baseline: str = "critic",
        cold_start: bool = False,
    ) -> None:
        check_range("samples", samples, Range(1, 1000))
        self.policy, self.samples, self.needs_start = policy, samples, not cold_start
        self.player = Player(policy, oracle, generator, reward)
        self.baseline = make_baseline(baseline, policy)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        played = self.player.write(batch, self.samples)
        batch = played.batch
        log_probs, features = act_log_probs(self.policy, batch)  # [N], [N, D]
        values, returns = self.baseline(features), to_go(played.rewards)[batch.mask]  # [N] each
        advantage = returns - values.detach()
        loss = -(advantage * log_probs).sum() / len(batch)
        return played.output(loss + self.baseline.loss(values, returns), advantage=advantage.mean().item())

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.baseline.parameters()

    def state_dict(self) -> dict[str, Tensor]:
        return self.baseline.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.baseline.load_state_dict(state)


NAMES = {"reinforce": partial(Reinforce)}
