"""Self-critical sequence training: a sample has to beat what the policy writes when it is tested."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from agents.algorithms import Algorithm, LossOutput
from agents.estimators.returns import Player, Reward, act_log_probs, per_episode
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class SCST(Algorithm):
    """REINFORCE with the return of the greedy output as the baseline (Rennie et al. 2017, equation 8).

    Args:
        samples: sequences written for each source, beside the greedy one; the batch grows by as much.
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
        cold_start: bool = False,
    ) -> None:
        check_range("samples", samples, Range(1, 1000))
        self.policy, self.samples, self.needs_start = policy, samples, not cold_start
        self.player = Player(policy, oracle, generator, reward)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        tested = self.player.write(batch, samples=0)
        played = self.player.write(batch, self.samples)
        advantage = played.total - tested.total.repeat_interleave(self.samples)  # [B·K]
        log_probs, _ = act_log_probs(self.policy, played.batch)  # [N]
        loss = -(advantage * per_episode(log_probs, played.batch.length)).mean()
        output = played.output(loss, greedy_reward=tested.total.mean().item())
        return replace(output, decoded=output.decoded + tested.decoded, scored=output.scored + tested.scored)


NAMES = {"scst": partial(SCST)}
