"""Locally optimal learning to search (Chang et al. 2015, "Learning to search better than your teacher", Algorithm 1)."""

from __future__ import annotations

from functools import partial

import torch

from agents.algorithms import Algorithm, LossOutput
from agents.estimators.cost_to_go import roll_out_costs, someplace
from agents.estimators.returns import Reward
from agents.generation.decoding import writable
from agents.generation.rollout import roll_out, without_dropout
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class LOLS(Algorithm):
    """Roll in with the student, try actions at one step, roll out with the oracle or the student, learn which were cheap.

    A roll-in is greedy.  At one random step of every row the oracle's action and the student's likeliest are tried; a coin
    says who writes them all to their end, and the reward judges the results.  The loss is cost-sensitive: what the student,
    choosing among the tried, would pay more than for the cheapest.  Rolling out with the student as well is what lets it
    become better than its oracle.

    Args:
        expert_share: β, the probability that the oracle rolls out and not the student
        actions: how many actions are tried, at least 2
        cold_start: allow a student that was not trained before
    """

    needs_start = True

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        generator: torch.Generator,
        reward: Reward,
        expert_share: float = 0.5,
        actions: int = 4,
        cold_start: bool = False,
    ) -> None:
        check_range("expert_share", expert_share, Range(0, 1))
        check_range("actions", actions, Range(2, policy.vocabulary_size - 2))  # all but PAD and BOS
        self.policy, self.oracle, self.generator, self.reward = policy, oracle, generator, reward
        self.expert_share, self.actions, self.needs_start = expert_share, actions, not cold_start

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        before = self.oracle.queries
        written = roll_out(self.policy, batch.source, batch.limit, self.generator)
        batch = batch.with_rows(torch.ones_like(batch.length, dtype=torch.bool), written)
        time, now = someplace(batch, self.generator)
        with without_dropout(self.policy):  # as it wrote: with dropout its likeliest would be another's
            log_probs = writable(self.policy(batch.source, batch.prefix, now))  # [B, V]
        best = self.oracle.action(batch.source, batch.prefix, now)  # [B]
        action = log_probs.detach().scatter(1, best[:, None], torch.inf).topk(self.actions).indices  # [B, K]
        expert = (torch.rand(len(batch), 1, generator=self.generator) < self.expert_share).to(time.device).expand_as(action)
        cost, decoded = roll_out_costs(
            self.policy, self.oracle, self.reward, batch, time, action, expert, self.generator
        )  # [B, K]
        regret = cost - cost.amin(1, keepdim=True)
        loss = (log_probs.gather(1, action).softmax(-1) * regret).sum(1).mean()
        figures = {"regret": regret.mean().item(), "oracle_cheapest": (regret[:, 0] == 0).float().mean().item()}
        return LossOutput(loss, len(batch), figures, batch.tokens + decoded, self.oracle.queries - before)


NAMES = {"lols": partial(LOLS)}
