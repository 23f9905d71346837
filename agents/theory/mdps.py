"""Tabular finite-horizon MDPs and policies.

``T`` horizon · ``S`` states per step · ``A`` actions. Every table may have leading batch axes
(``…``), so one array can hold thousands of MDPs. Steps count from 0: a mistake at step t affects at
most the T − t costs from step t on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textgen_env.errors import UserError

Array = NDArray[np.float64]
ROPE, GROUND = 0, 1  # the states of a tightrope
RIGHT = 0  # the action that keeps the balance


@dataclass(frozen=True)
class MDP:
    """A known finite-horizon MDP.

    Args:
        start: Distribution of the first state, ``[…, S]``.
        transition: p(s' | s, a) at every step, ``[…, T, S, A, S]``.
        cost: ``[…, T, S, A]``, in [0, 1].

    Raises:
        UserError: A row is not a distribution, or a cost is outside [0, 1].
    """

    start: Array
    transition: Array
    cost: Array

    def __post_init__(self) -> None:
        for name, table in (("start", self.start), ("transition", self.transition)):
            if (table < 0).any() or not np.allclose(table.sum(-1), 1):
                raise UserError(f"MDP: every row of {name} must be nonnegative and sum to 1")
        if not ((self.cost >= 0) & (self.cost <= 1)).all():
            raise UserError("MDP: every cost must be in [0, 1]; rescale the costs")

    @property
    def horizon(self) -> int:
        """T."""
        return self.cost.shape[-3]


def tightrope(horizon: int, climb: bool, actions: int = 2) -> MDP:
    """A two-state MDP: on the rope the right action is free, any other costs 1 and is a fall.

    Every step on the ground costs 1. ``Tightrope-v0`` is the text version; its reward is minus this
    cost.

    Args:
        horizon: T.
        climb: Whether the right action leads from the ground back to the rope (u = 2). If not, a
            fall is permanent (u = T).
        actions: A.
    """
    transition = np.zeros((2, actions, 2))
    transition[:, :, GROUND] = 1
    transition[ROPE, RIGHT] = np.eye(2)[ROPE]
    transition[GROUND, RIGHT] = np.eye(2)[ROPE if climb else GROUND]
    cost = np.ones((2, actions))
    cost[ROPE, RIGHT] = 0
    steps = (horizon, 2, actions)
    return MDP(
        np.eye(2)[ROPE], np.broadcast_to(transition, (*steps, 2)), np.broadcast_to(cost, steps)
    )


def walker(horizon: int, rope: ArrayLike, ground: ArrayLike, actions: int = 2) -> Array:
    """A tightrope policy ``[…, T, 2, A]`` from its probabilities of a wrong action in each state.

    Args:
        horizon: T.
        rope: P(wrong | rope): a number, ``[…, T]`` or ``[…, 1]``.
        ground: P(wrong | ground), likewise.
        actions: A; wrong actions are equally likely.
    """
    rope, ground, _ = np.broadcast_arrays(rope, ground, np.empty(horizon))
    wrong = np.stack([rope, ground], axis=-1).astype(float)  # [..., T, 2]
    policy = np.repeat(wrong[..., None] / (actions - 1), actions, axis=-1)  # [..., T, 2, A]
    policy[..., RIGHT] = 1 - wrong
    return policy


def prefix_tree(
    rng: np.random.Generator, horizon: int, actions: int, batch: tuple[int, ...] = ()
) -> MDP:
    """A text MDP with random costs: the state is the prefix, and an action appends a token.

    S = A^(T−1); the prefix y_1 … y_t as a base-A number is its state index at step t.
    """
    states = actions ** (horizon - 1)
    children = np.arange(states)[:, None] * actions + np.arange(actions)  # [S, A]
    # [S, A, S]; step t only uses the first A^t rows
    transition = np.eye(states)[np.where(children < states, children, 0)]
    shape = (*batch, horizon, states, actions)
    start = np.broadcast_to(np.eye(states)[0], (*batch, states))
    return MDP(start, np.broadcast_to(transition, (*shape, states)), rng.random(shape))


def random_mdp(
    rng: np.random.Generator, horizon: int, states: int, actions: int, batch: tuple[int, ...] = ()
) -> MDP:
    """A random MDP: transitions near-deterministic to near-uniform, costs mostly near 0 or 1.

    Bounds are tightest in such MDPs.
    """
    shape = (*batch, horizon, states, actions)
    start = distributions(rng, (*batch, states), 0.5)
    return MDP(start, distributions(rng, (*shape, states), 0.3), rng.beta(0.3, 0.3, shape))


def random_policy(rng: np.random.Generator, mdp: MDP, deterministic: bool) -> Array:
    """A policy ``[…, T, S, A]``, drawn independently for every step and state."""
    shape = mdp.cost.shape
    if deterministic:
        return np.eye(shape[-1])[rng.integers(shape[-1], size=shape[:-1])]
    return distributions(rng, shape, 0.5)


def distributions(rng: np.random.Generator, shape: tuple[int, ...], concentration: float) -> Array:
    """Symmetric Dirichlet samples over the last axis; a concentration below 1 makes them peaked."""
    draws = rng.standard_gamma(concentration, shape)
    return draws / draws.sum(-1, keepdims=True)
