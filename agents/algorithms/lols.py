"""Locally optimal learning to search (Chang et al. 2015)."""

from __future__ import annotations

from functools import partial

import torch

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.cost_to_go import cost_to_go, oracle_rollout, random_step, student_rollout
from agents.estimators.episodes import Reward
from agents.generation.decoding import allowed_log_probs
from agents.generation.roll_in import with_rollouts
from agents.generation.rollout import without_dropout
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class LOLS(Algorithm):
    """Try actions at one step, roll each out, learn the cheapest.

    L = Σ_a π(a | s, A) (c(a) - min_A c) at one random state s of each greedy roll-in of the
    student (Chang et al. 2015, "Learning to search better than your teacher", Algorithm 1). A
    holds the oracle's action and the student's most likely ones; π(a | s, A) is π restricted to A.
    The cost c(a) is minus the reward when, with probability β, the oracle completes the sequence,
    otherwise the student. Student roll-outs let the student become better than its oracle.

    Args:
        expert_share: β, the probability that the oracle rolls out
        actions: how many actions are tried, at least 2
        cold_start: allow a student that has not been trained
    """

    uses_targets = False
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
        """The expected regret among the tried actions, at one state of each row."""
        batch = with_rollouts(batch, torch.ones_like(batch.length, dtype=torch.bool), self.policy)
        time, mask = random_step(batch, clock.uniform("step", batch.row))  # [B], [B, T]
        with without_dropout(self.policy):  # as in generation, so that the argmax is the same
            log_probs = allowed_log_probs(self.policy(batch.source, batch.prefix, mask))  # [B, V]
        best = self.oracle.action(batch.source, batch.prefix, mask)  # [B]
        oracle_first = log_probs.detach().scatter(1, best[:, None], torch.inf)
        action = oracle_first.topk(self.actions).indices  # [B, K]
        cost = torch.zeros_like(action, dtype=torch.float32)
        expert = clock.uniform("coin", batch.row) < self.expert_share  # [B]
        oracle, student = oracle_rollout(self.oracle), student_rollout(self.policy)
        for rows, roll_out in ((expert, oracle), (~expert, student)):
            if rows.any():
                cost[rows] = cost_to_go(
                    roll_out, self.reward, batch.rows(rows), time[rows], action[rows]
                )
        regret = cost - cost.amin(1, keepdim=True)  # [B, K]
        loss = (log_probs.gather(1, action).softmax(-1) * regret).sum()
        oracle_cheapest = (regret[:, 0] == 0).float().mean()
        metrics = {"regret": regret.mean(), "oracle_cheapest": oracle_cheapest}
        return Loss(loss, len(batch), metrics)


NAMES = {"lols": partial(LOLS)}
