"""REINFORCE with the other samples of the same source as the baseline."""

from __future__ import annotations

from functools import partial

import torch

from agents.algorithms import Algorithm, LossOutput
from agents.estimators.returns import Player, Reward, act_log_probs, per_episode
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class RLOO(Algorithm):
    """Leave one out: each of K samples is compared with the mean of the others (Kool et al. 2019; Ahmadian et al. 2024).

    Args:
        samples: K, sequences written for each source; the batch grows by as much.
        cold_start: allow a student that was not trained before.
    """

    needs_start = True

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        generator: torch.Generator,
        reward: Reward,
        samples: int = 4,
        cold_start: bool = False,
    ) -> None:
        check_range("samples", samples, Range(2, 1000))  # one is left out; of a single sample: algorithm=reinforce
        self.policy, self.samples, self.needs_start = policy, samples, not cold_start
        self.player = Player(policy, oracle, generator, reward)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        played = self.player.write(batch, self.samples)
        total = played.total.view(-1, self.samples)  # [B, K]
        others = (total.sum(1, keepdim=True) - total) / (self.samples - 1)  # [B, K]
        advantage = (total - others).flatten()  # [B·K]
        log_probs, _ = act_log_probs(self.policy, played.batch)  # [N]
        loss = -(advantage * per_episode(log_probs, played.batch.length)).mean()
        return played.output(loss, spread=total.std(1).mean().item())


NAMES = {"rloo": partial(RLOO)}
