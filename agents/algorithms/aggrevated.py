"""Deeply AggreVaTeD (Sun et al. 2017): descend the expert's cost-to-go of what the student would do."""

from __future__ import annotations

from functools import partial

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.algorithms.schedules import beta as beta_schedule
from agents.estimators.cost_to_go import by_oracle, cost_to_go, random_step
from agents.estimators.episodes import Reward
from agents.generation.decoding import allowed_log_probs, draw
from agents.generation.roll_in import with_rollouts
from agents.generation.rollout import without_dropout
from textgen_env.errors import Range, UserError, check_range, unknown
from textgen_env.oracles.exact import ExactOracle
from textgen_env.types import Batch, Oracle, Policy

COSTS = ("roll_out", "exact")


class AggreVaTeD(Algorithm):
    """Minimize E_s Σ_a π(a | s) Q*(s, a), where Q* is the cost of doing a and obeying the oracle ever after (their equation 4).

    States are those of a mixture: with probability β a row is the training pair, else what the student samples; no gradient
    flows through that. Roll-outs: at one random step of every row the student draws ``actions`` actions, the oracle
    continues each to its end and the reward scores it; the likelihood ratio, with the other draws' mean as baseline, makes
    the gradient unbiased (their section 4.1). Exact: the oracle of a tabular task knows Q* and the sum is taken at every
    step. As every policy gradient it vanishes where π is sure of itself, right or wrong: from fresh weights some seeds stay
    on a plateau.

    Args:
        cost_to_go: roll_out, scored by the reward, or exact: the costs to come, known to an exact oracle
        actions: roll-outs a row, at least 2
        beta: schedule of β over the training: exponential, linear, reverse_sigmoid or constant
        rate: the schedule's parameter; null: its kind's own (exponential 1/200 and linear 0, β at the end;
            reverse_sigmoid 0.1, its width; constant 1/2)
        cold_start: allow a student that was not trained before
    """

    needs_start = True
    oracle: Oracle

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        reward: Reward,
        cost_to_go: str = "roll_out",
        actions: int = 4,
        beta: str = "exponential",
        rate: float | None = None,
        cold_start: bool = False,
    ) -> None:
        super().__init__()
        if cost_to_go not in COSTS:
            raise unknown("cost_to_go", cost_to_go, COSTS)
        if cost_to_go == "exact" and not isinstance(oracle, ExactOracle):
            raise UserError(
                "cost_to_go=exact: only the exact oracle of a tabular task knows it; use cost_to_go=roll_out"
            )
        check_range("actions", actions, Range(2, 1000))  # each is compared with the others
        self.policy, self.oracle, self.reward, self.needs_start = (
            policy,
            oracle,
            reward,
            not cold_start,
        )
        self.cost_to_go, self.actions, self.beta = cost_to_go, actions, beta_schedule(beta, rate)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The expected cost-to-go on the mixture that β gives."""
        beta = self.beta(clock.progress)
        on_policy = clock.uniform("coin", batch.row) >= beta  # [B]
        noise = clock.uniform("roll-in", batch.row, int(batch.limit.max()))  # [B, T]
        batch = with_rollouts(batch, on_policy, self.policy, noise)
        loss = self.exact(batch) if self.cost_to_go == "exact" else self.rolled_out(batch, clock)
        loss.metrics = {**loss.metrics, "beta": beta}
        return loss

    def exact(self, batch: Batch) -> Loss:
        """The expected cost-to-go over all actions, at every step."""
        assert isinstance(self.oracle, ExactOracle)
        states = batch.source, batch.prefix, batch.mask
        policy = allowed_log_probs(self.policy(*states)).exp()  # [N, V]
        cost = (policy * self.oracle.cost_to_go(*states)).sum()
        return Loss(cost, len(policy), {"cost": cost.detach() / len(policy)})

    def rolled_out(self, batch: Batch, clock: Clock) -> Loss:
        """Its likelihood-ratio estimate at one step of every row."""
        time, now = random_step(batch, clock.uniform("step", batch.row))  # [B], [B, T]
        with without_dropout(self.policy):
            log_probs = allowed_log_probs(self.policy(batch.source, batch.prefix, now))  # [B, V]
        noise = clock.uniform("action", batch.row, self.actions).to(log_probs.device)  # [B, K]
        action = draw(log_probs.detach(), noise)  # [B, K]
        cost = cost_to_go(by_oracle(self.oracle), self.reward, batch, time, action)  # [B, K]
        others = (cost.sum(1, keepdim=True) - cost) / (self.actions - 1)  # [B, K]
        loss = ((cost - others) * log_probs.gather(1, action)).sum() / self.actions
        return Loss(loss, len(batch), {"cost": cost.mean()})


NAMES = {
    "aggrevated": partial(AggreVaTeD),
    "aggrevated_exact": partial(AggreVaTeD, cost_to_go="exact", cold_start=True),
}
