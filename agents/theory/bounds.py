"""Exact regret of an imitation learner, and the upper bounds that follow from its losses.

Let e_t = E_{s ~ d_t^{π*}} [0–1 loss] and let ε be its mean over t. Then T ε is the expected number
of disagreements in an episode.

**Behavioral cloning** (Ross & Bagnell 2010, Theorem 2.1). J(π̂) ≤ J(π*) + Σ_t (T − t) e_t ≤ J(π*) +
T² ε.
Proof: couple the actions of both policies maximally. Until they first differ, both are in the same
state, which they reach no more often than the expert alone does. So they first differ at step t
with probability at most e_t, and the T − t remaining costs are at most 1 each. The only assumption
is that costs are in [0, 1]; expert, learner and transitions may be stochastic.

**DAgger** (Ross, Gordon & Bagnell 2011, Theorem 2.2). J(π̂) ≤ J(π*) + u T ε, with ε under the
*learner's* own states d_t^{π̂}. Proof: J(π̂) − J(π*) = Σ_t E_{s ~ d_t^{π̂}} E_{a ~ π̂, a* ~ π*}
[Q*(s, a) − Q*(s, a*)], where Q* is the cost if the expert takes over after a. Coupled as above, a ≠
a* has the probability of the 0–1 loss, and then the difference is at most u (``recoverability``).

**Log loss** (Foster, Block & Misra 2024, Section 2; the constant is from the proof here). For a
*deterministic* expert J(π̂) ≤ J(π*) + R D² ≤ J(π*) + R Σ_t E_{s ~ d_t^{π*}} [−log π̂(π*(s) | s)],
where R is the range of an episode's total cost and D² the squared Hellinger distance between
trajectory distributions. Proof: let q be the probability with which the learner takes all of the
expert's actions along an expert episode. The total variation is E[1 − q] ≤ E[2 (1 − √q)] = D² ≤
E[−log q]. T does not appear, but it can hide in R (dense costs: R = T) and in the *sum* of the log
losses; ``lab.horizon_free`` shows a case where it does not. For a stochastic expert the bound is R
D.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from agents.theory.horizon import (
    action_values,
    disagreement,
    expected,
    log_loss,
    reachable,
    state_distribution,
    total_cost,
)
from agents.theory.mdps import MDP, Array
from textgen_env.errors import unknown

GRANULARITIES = ("step", "sequence", "batch")  # how much one β coin decides


@dataclass(frozen=True)
class Audit:
    """A learner's regret and losses against an expert; fields are ``[…]`` unless noted."""

    horizon: int
    regret: Array  # J(π̂) − J(π*)
    zero_one_expert: Array  # [..., T], under d^{π*}: what behavioral cloning controls
    zero_one_learner: Array  # [..., T], under d^{π̂}: what DAgger controls
    log_loss_expert: Array  # [..., T]
    log_loss_learner: Array  # [..., T]
    hellinger: Array  # D², between trajectory distributions
    recoverability: Array  # u
    cost_range: Array  # R
    deterministic: np.ndarray  # bool: the expert is deterministic in every reachable state

    def bounds(self) -> dict[str, Array]:
        """Upper bounds of the regret by name; infinite if a theorem's assumptions do not hold."""
        remaining = self.horizon - np.arange(self.horizon)  # T − t
        applicable = np.where(self.deterministic, self.cost_range, np.inf)
        return {
            "T²ε": self.horizon * self.zero_one_expert.sum(-1),
            "Σ(T−t)ε_t": (remaining * self.zero_one_expert).sum(-1),
            "uTε": self.recoverability * self.zero_one_learner.sum(-1),
            "R·D²": applicable * self.hellinger,
            "R·log loss": applicable * self.log_loss_expert.sum(-1),
            "R·D": self.cost_range * np.sqrt(self.hellinger),
        }


def audit(mdp: MDP, expert: Array, learner: Array) -> Audit:
    """Compute ``learner``'s regret and losses; both policies are ``[…, T, S, A]``."""
    expert_states, learner_states = (
        state_distribution(mdp, expert),
        state_distribution(mdp, learner),
    )
    zero_one, log = disagreement(expert, learner), log_loss(expert, learner)
    return Audit(
        mdp.horizon,
        total_cost(mdp, learner) - total_cost(mdp, expert),
        expected(expert_states, zero_one),
        expected(learner_states, zero_one),
        expected(expert_states, log),
        expected(learner_states, log),
        hellinger(mdp, expert, learner),
        recoverability(mdp, expert),
        cost_range(mdp),
        ((expert.max(-1) == 1) | ~reachable(mdp)).all((-2, -1)),
    )


def recoverability(mdp: MDP, expert: Array) -> Array:
    """The highest cost u ``[…]`` of one wrong action, before the expert takes over again.

    max_{t, s} (max_a Q*(s, a) − min_{a*: π*(a*|s) > 0} Q*(s, a*)). For a deterministic expert this
    is max (Q*(s, a) − V*(s)). For a stochastic one Q* − V* would be too small, because V* averages
    over actions that the learner may never take.
    """
    q = action_values(mdp, expert)
    regret = q.max(-1) - np.where(expert > 0, q, np.inf).min(-1)  # [..., T, S]
    return np.where(reachable(mdp), regret, 0).max((-2, -1))


def cost_range(mdp: MDP) -> Array:
    """R ``[…]``: the highest minus the lowest total cost of a possible episode."""
    highest, lowest = np.zeros_like(mdp.start), np.zeros_like(mdp.start)  # [..., S]
    for t in reversed(range(mdp.horizon)):
        possible, cost = mdp.transition[..., t, :, :, :] > 0, mdp.cost[..., t, :, :]
        highest = (cost + np.where(possible, highest[..., None, None, :], -np.inf).max(-1)).max(-1)
        lowest = (cost + np.where(possible, lowest[..., None, None, :], np.inf).min(-1)).min(-1)
    return np.where(mdp.start > 0, highest, -np.inf).max(-1) - np.where(
        mdp.start > 0, lowest, np.inf
    ).min(-1)


def hellinger(mdp: MDP, expert: Array, learner: Array) -> Array:
    """D² ``[…]``, in [0, 2]: the squared Hellinger distance between the trajectory distributions.

    Σ_trajectories (√p* − √p̂)² = 2 − 2 Σ √(p* p̂); the transition probabilities factor out of the
    root.
    """
    overlap: Array = np.ones_like(mdp.start)  # Σ √(p* p̂) over the rest of an episode, [..., S]
    root = np.sqrt(expert * learner)
    for t in reversed(range(mdp.horizon)):
        rest = np.einsum("...saz,...z->...sa", mdp.transition[..., t, :, :, :], overlap)
        overlap = (root[..., t, :, :] * rest).sum(-1)
    return np.maximum(2 - 2 * (mdp.start * overlap).sum(-1), 0)


def roll_in(mdp: MDP, expert: Array, learner: Array, beta: ArrayLike, granularity: str) -> Array:
    """The expected state distribution ``[…, T, S]`` of a roll-in that mixes expert and learner.

    Its total variation from the learner's own state distribution is at most 1 − (1 − β)^t with
    "step", and β with "sequence" and "batch".

    Args:
        mdp: The MDP.
        expert: Policy ``[…, T, S, A]``.
        learner: Policy ``[…, T, S, A]``.
        beta: The probability that the expert acts, a number or ``[…]``.
        granularity: "step": one coin per step (Ross, Gordon & Bagnell 2011). "sequence": one per
            episode (Lin et al. 2020). "batch": one per mini-batch, which has the same expectation
            as "sequence" but the variance of a single episode.
    """
    if granularity not in GRANULARITIES:
        raise unknown("mixture granularity", granularity, GRANULARITIES)
    beta = np.asarray(beta, dtype=float)[..., None, None]
    if granularity == "step":
        return state_distribution(mdp, beta[..., None] * expert + (1 - beta[..., None]) * learner)
    return beta * state_distribution(mdp, expert) + (1 - beta) * state_distribution(mdp, learner)


def cloning_regret(horizon: ArrayLike, epsilon: ArrayLike) -> Array:
    """The regret if each step has probability ``epsilon`` of an unrecoverable mistake.

    This is Σ_{t = 1 … T} (1 − (1 − ε)^t) in closed form. Its ratio to T² ε tends to (T + 1) / 2T as
    ε → 0, which is ½ for long horizons, as the average mistake happens halfway. A learner that
    makes all its T ε expected mistakes at the first step attains the constant 1; see ``lab.tight``.
    """
    horizon, epsilon = np.asarray(horizon, dtype=float), np.asarray(epsilon, dtype=float)
    return horizon - (1 - epsilon) * -np.expm1(horizon * np.log1p(-epsilon)) / epsilon
