"""Locally optimal learning to search (Chang et al. 2015, "Learning to search better than your teacher", Algorithm 1)."""

from __future__ import annotations

from functools import partial

import torch

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.cost_to_go import by_oracle, by_student, cost_to_go, random_step
from agents.estimators.episodes import Reward
from agents.generation.decoding import allowed_log_probs
from agents.generation.roll_in import with_rollouts
from agents.generation.rollout import without_dropout
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class LOLS(Algorithm):
    """Roll in with the student, try actions at one step, roll out with the oracle or the student, learn which were cheap.

    A roll-in is greedy. At one random step of every row the oracle's action and the student's most likely are tried; a coin
    says who generates what follows, and the reward scores the results. The loss is cost-sensitive: what the student,
    choosing among the tried, would pay more than for the cheapest. Rolling out with the student as well is what lets it
    become better than its oracle.

    Args:
        expert_share: β, the probability that the oracle rolls out and not the student
        actions: how many actions are tried, at least 2
        cold_start: allow a student that was not trained before
    """

    needs_start = True
    oracle: Oracle

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        reward: Reward,
        expert_share: float = 0.5,
        actions: int = 4,
        cold_start: bool = False,
    ) -> None:
        super().__init__()
        check_range("expert_share", expert_share, Range(0, 1))
        check_range("actions", actions, Range(2, policy.vocabulary_size - 2))  # all but PAD and BOS
        self.policy, self.oracle, self.reward = policy, oracle, reward
        self.expert_share, self.actions, self.needs_start = expert_share, actions, not cold_start

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """Σ_a π(a | s, tried) regret(a) at one state of each row."""
        batch = with_rollouts(batch, torch.ones_like(batch.length, dtype=torch.bool), self.policy)
        time, now = random_step(batch, clock.uniform("step", batch.row))  # [B], [B, T]
        with without_dropout(
            self.policy
        ):  # as it generated: with dropout its most likely would be another's
            log_probs = allowed_log_probs(self.policy(batch.source, batch.prefix, now))  # [B, V]
        best = self.oracle.action(batch.source, batch.prefix, now)  # [B]
        action = (
            log_probs.detach().scatter(1, best[:, None], torch.inf).topk(self.actions).indices
        )  # [B, K]
        cost = torch.zeros_like(action, dtype=torch.float32)
        expert = clock.uniform("coin", batch.row) < self.expert_share  # [B]
        for rows, roll_out in (
            (expert, by_oracle(self.oracle)),
            (~expert, by_student(self.policy)),
        ):
            if rows.any():
                cost[rows] = cost_to_go(
                    roll_out, self.reward, batch.rows(rows), time[rows], action[rows]
                )
        regret = cost - cost.amin(1, keepdim=True)  # [B, K]
        loss = (log_probs.gather(1, action).softmax(-1) * regret).sum()
        return Loss(
            loss,
            len(batch),
            {"regret": regret.mean(), "oracle_cheapest": (regret[:, 0] == 0).float().mean()},
        )


NAMES = {"lols": partial(LOLS)}
