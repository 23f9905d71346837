"""Sequence MDPs small enough to be tables, and policies in them.

``T`` horizon · ``S`` states a step · ``A`` actions; every table may have batch axes in front (``…``), so that one array
holds thousands of MDPs.  Steps count from 0: a mistake at step t affects at most T − t costs, its own included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textgen_env.errors import UserError

Array = NDArray[np.float64]
ROPE, GROUND = 0, 1  # the states of a tightrope
RIGHT = 0  # the one action that keeps the balance


@dataclass(frozen=True)
class MDP:
    """A known finite-horizon MDP.

    start ``[…, S]`` · transition ``[…, T, S, A, S]``, p(s' | s, a) at every step · cost ``[…, T, S, A]`` in [0, 1].
    UserError for any other.
    """

    start: Array
    transition: Array
    cost: Array

    def __post_init__(self) -> None:
        for name, table in (("start", self.start), ("transition", self.transition)):
            if (table < 0).any() or not np.allclose(table.sum(-1), 1):
                raise UserError(
                    f"MDP: a row of {name} is not a distribution; every row must be ≥ 0 and sum to 1"
                )
        if not ((self.cost >= 0) & (self.cost <= 1)).all():
            raise UserError(
                "MDP: a cost lies outside [0, 1], where the bounds are stated; rescale it"
            )

    @property
    def horizon(self) -> int:
        """T."""
        return self.cost.shape[-3]


def tightrope(horizon: int, climb: bool, actions: int = 2) -> MDP:
    """A step costs 1 unless it is the right one on the rope; a wrong one there ends on the ground.

    climb False: the ground is for ever (u = T).  True: the right action leads back on the rope; it costs 1, as every step on
    the ground does (u = 2).  ``Tightrope-v0`` is the same in text, and its reward is minus this cost.
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
    """A tightrope's policy ``[…, T, 2, A]`` by its chances of a wrong action: numbers, ``[…, T]`` or ``[…, 1]``."""
    rope, ground, _ = np.broadcast_arrays(rope, ground, np.empty(horizon))
    wrong = np.stack([rope, ground], axis=-1).astype(float)  # [..., T, 2]
    policy = np.repeat(wrong[..., None] / (actions - 1), actions, axis=-1)  # [..., T, 2, A]
    policy[..., RIGHT] = 1 - wrong
    return policy


def prefix_tree(
    rng: np.random.Generator, horizon: int, actions: int, batch: tuple[int, ...] = ()
) -> MDP:
    """A small text MDP: the state is the whole prefix, appending is deterministic, costs are random.

    S = A^(T−1): prefix y_1 … y_t, read as a number in base A, is its index in layer t.
    """
    states = actions ** (horizon - 1)
    children = np.arange(states)[:, None] * actions + np.arange(actions)  # [S, A]
    transition = np.eye(states)[
        np.where(children < states, children, 0)
    ]  # [S, A, S]; layer t only uses its first A^t rows
    shape = (*batch, horizon, states, actions)
    start = np.broadcast_to(np.eye(states)[0], (*batch, states))
    return MDP(start, np.broadcast_to(transition, (*shape, states)), rng.random(shape))


def random_mdp(
    rng: np.random.Generator, horizon: int, states: int, actions: int, batch: tuple[int, ...] = ()
) -> MDP:
    """Random tables: near-deterministic and spread-out rows, costs mostly near 0 and 1, where bounds are tight."""
    shape = (*batch, horizon, states, actions)
    start = distributions(rng, (*batch, states), 0.5)
    return MDP(start, distributions(rng, (*shape, states), 0.3), rng.beta(0.3, 0.3, shape))


def random_policy(rng: np.random.Generator, mdp: MDP, deterministic: bool) -> Array:
    """A policy ``[…, T, S, A]``, a different one at every step and state."""
    shape = mdp.cost.shape
    if deterministic:
        return np.eye(shape[-1])[rng.integers(shape[-1], size=shape[:-1])]
    return distributions(rng, shape, 0.5)


def distributions(rng: np.random.Generator, shape: tuple[int, ...], concentration: float) -> Array:
    """Dirichlet draws over the last axis; a concentration below 1 makes them spiky."""
    draws = rng.standard_gamma(concentration, shape)
    return draws / draws.sum(-1, keepdims=True)
