"""Deeply AggreVaTeD (Sun et al. 2017): descend the expert's cost-to-go of what the student would do."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from agents.algorithms import Algorithm, LossOutput
from agents.algorithms.schedules import beta as beta_schedule
from agents.estimators.cost_to_go import roll_out_costs, someplace
from agents.estimators.returns import Reward
from agents.generation.decoding import draw, writable
from agents.generation.rollout import roll_out, without_dropout
from textgen_env.errors import Range, UserError, check_range, unknown
from textgen_env.oracles.exact import ExactOracle
from textgen_env.types import Batch, Oracle, Policy

COSTS = ("roll_out", "exact")


class AggreVaTeD(Algorithm):
    """Minimise E_s Σ_a π(a | s) Q*(s, a), where Q* is the cost of doing a and obeying the oracle ever after (their equation 4).

    States are those of a mixture: with probability β a row is the training pair, else what the student samples; no gradient
    flows through that.  Roll-outs: at one random step of every row the student draws ``actions`` actions, the oracle writes
    each to its end and the reward judges it; the likelihood ratio, with the other draws' mean as baseline, makes the gradient
    unbiased (their section 4.1).  Exact: the oracle of a tabular task knows Q* and the sum is taken at every step.  As every
    policy gradient it vanishes where π is sure of itself, right or wrong: from fresh weights some seeds stay on a plateau.

    Args:
        cost_to_go: roll_out, scored by the reward, or exact: the costs to come, known to an exact oracle
        actions: roll-outs a row, at least 2
        beta: schedule of β over the training: exponential, linear, reverse_sigmoid or constant
        rate: the schedule's parameter; null: its kind's own (exponential 1/200 and linear 0, β at the end;
            reverse_sigmoid 0.1, its width; constant 1/2)
        cold_start: allow a student that was not trained before
    """

    needs_start = True

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        generator: torch.Generator,
        reward: Reward,
        cost_to_go: str = "roll_out",
        actions: int = 4,
        beta: str = "exponential",
        rate: float | None = None,
        cold_start: bool = False,
    ) -> None:
        if cost_to_go not in COSTS:
            raise unknown("cost_to_go", cost_to_go, COSTS)
        if cost_to_go == "exact" and not isinstance(oracle, ExactOracle):
            raise UserError("cost_to_go=exact: only the exact oracle of a tabular task knows it; use cost_to_go=roll_out")
        check_range("actions", actions, Range(2, 1000))  # each is compared with the others
        self.policy, self.oracle, self.generator, self.reward = policy, oracle, generator, reward
        self.exact_cost: Any = getattr(oracle, "cost_to_go", None)
        self.cost_to_go, self.actions, self.beta = cost_to_go, actions, beta_schedule(beta, rate)
        self.needs_start = not cold_start

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        beta, before, decoded = self.beta(progress), self.oracle.queries, 0
        on_policy = torch.rand(len(batch), generator=self.generator) >= beta  # [B]
        if on_policy.any():
            drawn = batch.rows(on_policy)
            written = roll_out(self.policy, drawn.source, drawn.limit, self.generator, top_k=0)
            batch, decoded = batch.with_rows(on_policy, written), int(written.length.sum())
        loss, cost, tokens = self.exact(batch) if self.cost_to_go == "exact" else self.rolled_out(batch)
        return LossOutput(loss, tokens, {"beta": beta, "cost": cost}, decoded, self.oracle.queries - before)

    def exact(self, batch: Batch) -> tuple[Tensor, float, int]:
        """The expected cost-to-go over all actions and steps."""
        mask = batch.mask
        policy = writable(self.policy(batch.source, batch.prefix, mask)).exp()  # [N, V]
        cost = (policy * self.exact_cost(batch.source, batch.prefix, mask)).sum(-1).mean()
        return cost, cost.item(), len(policy)

    def rolled_out(self, batch: Batch) -> tuple[Tensor, float, int]:
        """Its likelihood-ratio estimate at one step of every row."""
        time, now = someplace(batch, self.generator)
        with without_dropout(self.policy):
            log_probs = writable(self.policy(batch.source, batch.prefix, now))  # [B, V]
        noise = torch.rand(len(batch), self.actions, generator=self.generator).to(log_probs.device)  # [B, K]
        action = draw(log_probs.detach(), noise)  # [B, K]
        everyone = torch.ones_like(action, dtype=torch.bool)
        cost, _ = roll_out_costs(self.policy, self.oracle, self.reward, batch, time, action, everyone, self.generator)
        others = (cost.sum(1, keepdim=True) - cost) / (self.actions - 1)  # [B, K]
        loss = ((cost - others) * log_probs.gather(1, action)).mean()
        return loss, cost.mean().item(), len(batch)


NAMES = {"aggrevated": partial(AggreVaTeD), "aggrevated_exact": partial(AggreVaTeD, cost_to_go="exact", cold_start=True)}
