"""Both sides of every inequality, exact: the regret of an imitator, and the bounds that its losses give.

With e_t = E_{s ~ d_t^{π*}} [0–1 loss] and ε their mean over t, T ε is the expected number of disagreements.

**Cloning** (Ross & Bagnell 2010, Theorem 2.1).  J(π̂) ≤ J(π*) + Σ_t (T − t) e_t ≤ J(π*) + T² ε.
Couple their actions maximally.  Until they first differ they share a state, and they reach it no more often than the expert
does, so they first differ at step t with a chance of at most e_t; from there T − t costs are left, each at most 1.  The only
condition is costs in [0, 1]: experts, learners and transitions may be stochastic.

**DAgger** (Ross, Gordon & Bagnell 2011, Theorem 2.2).  J(π̂) ≤ J(π*) + u T ε, with ε under the *learner's* own states d_t^{π̂}.
J(π̂) − J(π*) = Σ_t E_{s ~ d_t^{π̂}} E_{a ~ π̂, a* ~ π*} [Q*(s, a) − Q*(s, a*)], Q* the cost when the expert takes over after a;
coupled as above, the chance of a ≠ a* is the 0–1 loss, and then the difference is at most u (``recoverability``).

**Log loss** (Foster, Block & Misra 2024, Section 2; the constant is this short proof's).  For a *deterministic* expert
J(π̂) ≤ J(π*) + R D² ≤ J(π*) + R Σ_t E_{s ~ d_t^{π*}} [−log π̂(π*(s) | s)], R the range of an episode's total cost and D² the
squared Hellinger distance of whole trajectories.  Let q be the product of the learner's chances of the expert's actions along
one of the expert's episodes: the total variation is E[1 − q] ≤ E[2 (1 − √q)] = D² ≤ E[−log q].  No T appears, but it can hide
in R (dense costs: R = T) and in the *sum* of the log losses; ``lab.horizon_free`` shows when it does not.  With a stochastic
expert the bound is R D, the square root.
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
    states,
    total_cost,
)
from agents.theory.mdps import MDP, Array
from textgen_env.errors import unknown

GRANULARITIES = ("step", "sequence", "batch")  # of one toss of the β coin


@dataclass(frozen=True)
class Audit:
    """One learner against one expert; every field ``[…]``, those of single steps ``[…, T]``."""

    horizon: int
    regret: Array  # J(π̂) − J(π*)
    zero_one_expert: Array  # [..., T], under d^{π*}: what cloning controls
    zero_one_learner: Array  # [..., T], under d^{π̂}: what DAgger controls
    log_loss_expert: Array  # [..., T]
    log_loss_learner: Array  # [..., T]
    hellinger: Array  # D², of trajectories
    recoverability: Array  # u
    cost_range: Array  # R
    deterministic: np.ndarray  # bool: whether the expert is so in every reachable state

    def bounds(self) -> dict[str, Array]:
        """``{name: upper bound of the regret}``; infinite where a theorem does not hold, as R·D² for a stochastic expert."""
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
    """The regret and all bounds for ``learner`` ``[…, T, S, A]`` and ``expert`` in ``mdp``."""
    visits, own = states(mdp, expert), states(mdp, learner)
    zero_one, log = disagreement(expert, learner), log_loss(expert, learner)
    return Audit(
        mdp.horizon,
        total_cost(mdp, learner) - total_cost(mdp, expert),
        expected(visits, zero_one),
        expected(own, zero_one),
        expected(visits, log),
        expected(own, log),
        hellinger(mdp, expert, learner),
        recoverability(mdp, expert),
        cost_range(mdp),
        ((expert.max(-1) == 1) | ~reachable(mdp)).all((-2, -1)),
    )


def recoverability(mdp: MDP, expert: Array) -> Array:
    """u ``[…]``: the highest cost of one wrong action when the expert takes over again, over all reachable states.

    max_{t, s} (max_a Q*(s, a) − min_{a*: π*(a*|s) > 0} Q*(s, a*)); for a deterministic expert max (Q*(s, a) − V*(s)).
    For a stochastic one Q* − V* would be too small: V* averages over actions that the learner may never take.
    """
    q = action_values(mdp, expert)
    regret = q.max(-1) - np.where(expert > 0, q, np.inf).min(-1)  # [..., T, S]
    return np.where(reachable(mdp), regret, 0).max((-2, -1))


def cost_range(mdp: MDP) -> Array:
    """R ``[…]``: the highest minus the lowest total cost of any possible episode."""
    highest, lowest = np.zeros_like(mdp.start), np.zeros_like(mdp.start)  # [..., S]
    for t in reversed(range(mdp.horizon)):
        possible, cost = mdp.transition[..., t, :, :, :] > 0, mdp.cost[..., t, :, :]
        highest = (cost + np.where(possible, highest[..., None, None, :], -np.inf).max(-1)).max(-1)
        lowest = (cost + np.where(possible, lowest[..., None, None, :], np.inf).min(-1)).min(-1)
    return np.where(mdp.start > 0, highest, -np.inf).max(-1) - np.where(
        mdp.start > 0, lowest, np.inf
    ).min(-1)


def hellinger(mdp: MDP, expert: Array, learner: Array) -> Array:
    """D² ``[…]`` = Σ_trajectories (√p* − √p̂)² = 2 − 2 Σ √(p* p̂), in [0, 2]; the MDP's own chances factor out of the root."""
    overlap: Array = np.ones_like(mdp.start)  # Σ √(p* p̂) over the rest of an episode, [..., S]
    both = np.sqrt(expert * learner)
    for t in reversed(range(mdp.horizon)):
        overlap = (
            both[..., t, :, :]
            * np.einsum("...saz,...z->...sa", mdp.transition[..., t, :, :, :], overlap)
        ).sum(-1)
    return np.maximum(2 - 2 * (mdp.start * overlap).sum(-1), 0)


def roll_in(mdp: MDP, expert: Array, learner: Array, beta: ArrayLike, granularity: str) -> Array:
    """The expected states ``[…, T, S]`` of a roll-in in which the expert acts with probability ``beta`` (a number, or ``[…]``).

    step: one coin per step (Ross, Gordon & Bagnell 2011) · sequence: one per episode (Lin et al. 2020) · batch: one for all
    episodes of a mini-batch; the expectation of "sequence", with the variance of a single row.
    Its total variation from the learner's own states is at most 1 − (1 − β)^t with "step", and β with the others.
    """
    if granularity not in GRANULARITIES:
        raise unknown("mixture granularity", granularity, GRANULARITIES)
    share = np.asarray(beta, dtype=float)[..., None, None]
    if granularity == "step":
        return states(mdp, share[..., None] * expert + (1 - share[..., None]) * learner)
    return share * states(mdp, expert) + (1 - share) * states(mdp, learner)


def cloning_regret(horizon: ArrayLike, epsilon: ArrayLike) -> Array:
    """The regret where each step has a chance ``epsilon`` of a fall for ever: Σ_t (1 − (1 − ε)^t), t = 1 … T, in closed form.

    Its ratio to T² ε tends to (T + 1) / 2T as ε → 0, so to ½ for long horizons: the mean mistake comes half-way.  The
    learner that makes all of its T ε expected mistakes at the first step attains the constant 1; see ``lab.tight``.
    """
    horizon, epsilon = np.asarray(horizon, dtype=float), np.asarray(epsilon, dtype=float)
    return horizon - (1 - epsilon) * -np.expm1(horizon * np.log1p(-epsilon)) / epsilon
