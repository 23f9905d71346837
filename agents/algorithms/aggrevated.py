"""Deeply AggreVaTeD (Sun et al. 2017)."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.algorithms.schedules import beta_schedule
from agents.estimators.cost_to_go import cost_to_go, oracle_rollout, random_step
from agents.estimators.episodes import Reward
from agents.generation.decoding import allowed_log_probs, draw
from agents.generation.roll_in import with_rollouts
from agents.generation.rollout import without_dropout
from agents.losses.sequence import chunked_loss
from textgen_env.errors import Range, UserError, check_range, unknown
from textgen_env.oracles.exact import ExactOracle
from textgen_env.types import Batch, Oracle, Policy

COSTS_TO_GO = ("roll_out", "exact")


class AggreVaTeD(Algorithm):
    """Minimize the oracle's cost-to-go by policy gradient.

    L = E_s Σ_a π(a | s) Q*(s, a), where Q*(s, a) is the cost of action a followed by the oracle's
    actions (Sun et al. 2017, equation 4). States s come from a mixture: with probability β a row
    is the training pair, otherwise a sample of the student, without gradient.

    cost_to_go=roll_out estimates the gradient at one random step of each row (section 4.1): the
    student draws ``actions`` actions, the oracle completes each, and the reward scores the
    results. The likelihood ratio with the mean of the other draws as baseline is unbiased.
    cost_to_go=exact sums over all actions at every step; only a tabular task's oracle knows Q*.

    Like every policy gradient it vanishes where π is certain, right or wrong; from fresh weights
    some seeds stay on a plateau.

    Args:
        cost_to_go: roll_out (scored by the reward) or exact (needs an exact oracle)
        actions: roll-outs per row, at least 2
        beta: schedule of β: exponential, linear, reverse_sigmoid or constant
        rate: final β (exponential, linear), width (reverse_sigmoid) or β (constant); null: default
        cold_start: allow a student that has not been trained
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
        if cost_to_go not in COSTS_TO_GO:
            raise unknown("cost_to_go", cost_to_go, COSTS_TO_GO)
        if cost_to_go == "exact" and not isinstance(oracle, ExactOracle):
            raise UserError(
                "cost_to_go=exact needs the exact oracle of a tabular task; "
                "use cost_to_go=roll_out with this one"
            )
        check_range("actions", actions, Range(2, 1000))  # each is the baseline of the others
        self.policy, self.oracle, self.reward = policy, oracle, reward
        self.cost_to_go, self.actions, self.beta = cost_to_go, actions, beta_schedule(beta, rate)
        self.uses_targets = any(self.beta(progress) > 0 for progress in (0.0, 1.0))
        self.needs_start = not cold_start

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The expected cost-to-go on a batch mixed with the current β."""
        beta = self.beta(clock.progress)
        on_policy = clock.uniform("coin", batch.row) >= beta  # [B]
        noise = clock.uniform("roll-in", batch.row, int(batch.limit.max()))  # [B, T]
        batch = with_rollouts(batch, on_policy, self.policy, noise)
        loss = self.exact(batch) if self.cost_to_go == "exact" else self.rolled_out(batch, clock)
        loss.metrics = {**loss.metrics, "beta": beta}
        return loss

    def exact(self, batch: Batch) -> Loss:
        """The expectation over all actions, at every step."""
        oracle = self.oracle
        assert isinstance(oracle, ExactOracle)

        def expected_cost(logits: Tensor, rows: Batch, _: slice) -> Tensor:
            return (allowed_log_probs(logits).exp() * oracle.cost_to_go(*rows.states)).sum()

        loss = chunked_loss(self.policy, batch, expected_cost)
        loss.metrics = {"cost": loss.mean.detach()}
        return loss

    def rolled_out(self, batch: Batch, clock: Clock) -> Loss:
        """The likelihood-ratio estimate at one step of every row."""
        time, mask = random_step(batch, clock.uniform("step", batch.row))  # [B], [B, T]
        with without_dropout(self.policy):
            log_probs = allowed_log_probs(self.policy(batch.source, batch.prefix, mask))  # [B, V]
        noise = clock.uniform("action", batch.row, self.actions).to(log_probs.device)  # [B, K]
        action = draw(log_probs.detach(), noise)  # [B, K]
        roll_out = oracle_rollout(self.oracle)
        cost = cost_to_go(roll_out, self.reward, batch, time, action)  # [B, K]
        baseline = (cost.sum(1, keepdim=True) - cost) / (self.actions - 1)  # [B, K]
        loss = ((cost - baseline) * log_probs.gather(1, action)).sum() / self.actions
        return Loss(loss, len(batch), {"cost": cost.mean()})


NAMES = {
    "aggrevated": partial(AggreVaTeD),
    "aggrevated_exact": partial(AggreVaTeD, cost_to_go="exact", cold_start=True),
}
