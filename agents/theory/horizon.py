"""Exact d_t, J, Q and losses of a policy in a tabular MDP, by dynamic programming.

Policies are ``[…, T, S, A]``; the batch axes of MDPs and policies broadcast.
"""

from __future__ import annotations

import numpy as np

from agents.theory.mdps import MDP, Array


def state_distribution(mdp: MDP, policy: Array) -> Array:
    """d_t^π ``[…, T, S]``: the distribution of the state before action t."""
    batch = np.broadcast_shapes(mdp.start.shape[:-1], policy.shape[:-3])
    layers = [np.broadcast_to(mdp.start, (*batch, mdp.start.shape[-1]))]
    for t in range(mdp.horizon - 1):
        flow = layers[-1][..., None] * policy[..., t, :, :]  # [..., S, A]
        layers.append(np.einsum("...sa,...saz->...z", flow, mdp.transition[..., t, :, :, :]))
    return np.stack(layers, axis=-2)


def action_values(mdp: MDP, policy: Array) -> Array:
    """Q_t^π(s, a) ``[…, T, S, A]``: the expected cost from step t on, of a and then following π."""
    value: Array = np.zeros_like(mdp.start)  # V_{t+1}^π, [..., S]
    layers = []
    for t in reversed(range(mdp.horizon)):
        q = mdp.cost[..., t, :, :] + np.einsum(
            "...saz,...z->...sa", mdp.transition[..., t, :, :, :], value
        )
        value = (policy[..., t, :, :] * q).sum(-1)
        layers.append(np.broadcast_to(q, np.broadcast_shapes(q.shape, value.shape + q.shape[-1:])))
    return np.stack(layers[::-1], axis=-3)


def total_cost(mdp: MDP, policy: Array) -> Array:
    """J(π) ``[…]``: the expected sum of the T costs."""
    return (state_distribution(mdp, policy)[..., None] * policy * mdp.cost).sum((-3, -2, -1))


def reachable(mdp: MDP) -> np.ndarray:
    """Whether some sequence of actions reaches a state with positive probability, ``[…, T, S]``."""
    layers: list[np.ndarray] = [mdp.start > 0]
    for t in range(mdp.horizon - 1):
        possible = layers[-1][..., None, None] & (mdp.transition[..., t, :, :, :] > 0)
        layers.append(np.asarray(possible.any((-3, -2))))
    return np.stack(layers, axis=-2)


def simulate(mdp: MDP, policy: Array, episodes: int, rng: np.random.Generator) -> Array:
    """Sample ``episodes`` total costs ``[episodes]``; MDP and policy without batch axes."""
    total = np.zeros(episodes)
    state = _draw(np.broadcast_to(mdp.start, (episodes, len(mdp.start))), rng)
    for t in range(mdp.horizon):
        action = _draw(policy[t, state], rng)
        total += mdp.cost[t, state, action]
        state = _draw(mdp.transition[t, state, action], rng)
    return total


def disagreement(expert: Array, learner: Array) -> Array:
    """0–1 loss ``[…, T, S]``: the total variation 1 − Σ_a min(π*, π̂).

    This is the probability that two maximally coupled actions differ. For a deterministic expert it
    is P(a ≠ π*(s)), as in Ross & Bagnell (2010).
    """
    return 1 - np.minimum(expert, learner).sum(-1)


def log_loss(expert: Array, learner: Array) -> Array:
    """Cross-entropy −Σ_a π* log π̂ ``[…, T, S]`` in nats; infinite if π̂ excludes an action."""
    with np.errstate(divide="ignore"):
        nll = -np.log(learner)
    return _weighted_sum(expert, nll)


def expected(states: Array, loss: Array) -> Array:
    """E_{s ~ d_t} loss ``[…, T]``, for the state distribution ``states`` = d ``[…, T, S]``."""
    return _weighted_sum(states, loss)


def _weighted_sum(weight: Array, value: Array) -> Array:
    """Σ weight · value over the last axis, with 0 · ∞ = 0."""
    terms = np.zeros(np.broadcast_shapes(weight.shape, value.shape))
    return np.multiply(weight, value, where=weight > 0, out=terms).sum(-1)


def _draw(probability: Array, rng: np.random.Generator) -> np.ndarray:
    """Sample one index ``[N]`` from each row of ``[N, K]``."""
    cumulative = probability.cumsum(-1)
    return (rng.random((len(cumulative), 1)) * cumulative[:, -1:] >= cumulative).sum(-1)
