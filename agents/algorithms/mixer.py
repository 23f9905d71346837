"""MIXER: from cross-entropy to REINFORCE, from the end of the sentence to its beginning."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from agents.algorithms import Algorithm, LossOutput
from agents.estimators.baselines import Critic
from agents.estimators.returns import Player, Reward, act_log_probs, to_go
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class Mixer(Algorithm):
    """The head of every sequence is the reference's, learned by cross-entropy; the policy writes its tail, by REINFORCE.

    The head shrinks by ``delta`` tokens at a time (Ranzato et al. 2016, Algorithm 1), from the width of the batch to none:
    there it is the same for all sentences, here short ones get a tail as early as long ones.  Baseline: their linear critic.

    Args:
        delta: tokens by which the tail grows at a time.
        anneal: share of the training after which nothing is left of the head.
        cold_start: allow a student that was not trained before.
    """

    needs_start = True

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        generator: torch.Generator,
        reward: Reward,
        delta: int = 2,
        anneal: float = 0.75,
        cold_start: bool = False,
    ) -> None:
        check_range("delta", delta, Range(1, 1000))
        check_range("anneal", anneal, Range(0, 1, "least"))
        self.policy, self.delta, self.anneal, self.needs_start = policy, delta, anneal, not cold_start
        self.player = Player(policy, oracle, generator, reward)
        self.critic = Critic(policy.feature_width).to(next(policy.parameters()).device)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """NLL of the head, and REINFORCE on the tail that the policy wrote after it (Ranzato et al. 2016)."""
        head = self.head(batch.target.shape[1], progress)
        played = self.player.write(batch, forced=batch.target[:, :head])
        batch, mask = played.batch, played.batch.mask
        log_probs, features = act_log_probs(self.policy, batch)  # [N], [N, D]
        values, returns = self.critic(features), to_go(played.rewards)[mask]  # [N] each
        tail = (torch.arange(mask.shape[1], device=mask.device) >= head).expand_as(mask)[mask]  # [N]
        weight = (returns - values.detach()).where(tail, 1.0)  # cross-entropy is REINFORCE of what surely pays 1
        loss = -(weight * log_probs).sum() / len(batch)
        if tail.any():
            loss = loss + self.critic.loss(values[tail], returns[tail])
        return played.output(loss, head=head)

    def head(self, width: int, progress: float) -> int:
        """Tokens that are the reference's, in a batch of that width."""
        stages = -(-width // self.delta)  # until nothing is left
        return max(0, width - self.delta * int(progress / self.anneal * (stages + 1)))

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.critic.parameters()

    def state_dict(self) -> dict[str, Tensor]:
        return self.critic.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.critic.load_state_dict(state)


NAMES = {"mixer": partial(Mixer)}
