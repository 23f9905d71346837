"""Tightrope-v0: alternate left and right; demonstrations do not show how to recover from an error.

This is the tabular MDP ``agents.theory.mdps.tightrope`` as text. On the rope, the correct action is
the foot named by the source, then the other foot, and so on; any other word is a fall. After a fall
the walker is on the ground, where the correct action is ``climb``: it leads back to the start of
the rope. The expert never falls, so a student cloned from its demonstrations never sees the ground
or ``climb``.

A step costs 0 if it puts the correct foot on the rope, otherwise 1; on the ground every step costs
1, ``climb`` included (so u = 2, or u = T if falls are final). The default reward ``cost`` is minus
that. The text differs from the tabular MDP in two ways: an unnecessary ``climb`` costs 1 and is not
a fall, and EOS ends the episode and its costs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import MAX_LENGTH, Limit
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import Range, check_range
from textgen_env.oracles.exact import ExactOracle
from textgen_env.tasks.task import Task, cached_load
from textgen_env.types import BOS, EOS, UNK, shift

ID = "Tightrope-v0"
FEET = ("left", "right")
TRICKS = "hop skip jump spin wave bow kneel dance sway juggle nod clap".split()  # noqa: SIM905
LEFT, RIGHT, CLIMB = range(UNK + 1, UNK + 4)  # their ids; the tricks come after them


@cached_load
def load(
    horizon: int = 32,
    recoverable: bool = True,
    tricks: int = 12,
    slip: float = 0.01,
    train: int = 4_000,
    valid: int = 200,
    test: int = 200,
    seed: int = 0,
) -> Task:
    """A walk on which one wrong step costs all later ones: the T² example of imitation learning.

    The source is the first foot. References have ``horizon`` steps and no EOS.

    Args:
        horizon: T, the number of steps in an episode
        recoverable: ``climb`` leads back to the rope; false: it is still correct on the ground, but
            a fall is final
        tricks: number of words that are never correct
        slip: probability that the expert's distribution gives to all wrong words together; the
            expert itself acts by the argmax
        train: number of training rows
        valid: number of validation rows
        test: number of test rows
        seed: random seed of the sources
    """
    check_range("horizon", horizon, Range(1, MAX_LENGTH - 1))
    check_range("tricks", tricks, Range(0, len(TRICKS)))
    check_range("slip", slip, Range(0, 1, "both"))
    sizes = {"train": train, "valid": valid, "test": test}
    for name, size in sizes.items():
        check_range(name, size, Range(1, 10**7))
    generator = np.random.default_rng(seed)
    splits = {name: _walks(generator, size, horizon) for name, size in sizes.items()}
    corpus = Corpus("tightrope", "bundled", f"walks of {horizon} steps, seed {seed}", splits)
    vocabulary = Vocabulary.from_words([*FEET, "climb", *TRICKS[:tricks]])
    oracle = partial(TightropeOracle, len(vocabulary), horizon, recoverable, slip)
    limit = Limit(horizon + 1)
    task = Task(ID, corpus, vocabulary, 2, limit, "accuracy", "cost", oracle=oracle)
    without_eos = {
        name: replace(split, target=[row[:-1] for row in split.target])
        for name, split in task.splits.items()
    }
    return replace(task, limit=Limit(horizon), splits=without_eos)


def _walks(generator: np.random.Generator, rows: int, horizon: int) -> Pairs:
    first = generator.integers(2, size=rows).tolist()
    walks = [" ".join(FEET[(foot + step) % 2] for step in range(horizon)) for foot in (0, 1)]
    return Pairs([FEET[foot] for foot in first], [(walks[foot],) for foot in first])


class TightropeOracle(ExactOracle):
    """The exact expert: the next foot on the rope, ``climb`` on the ground."""

    def __init__(
        self, vocabulary_size: int, horizon: int, recoverable: bool = True, slip: float = 0.01
    ) -> None:
        super().__init__(vocabulary_size, slip)
        self.horizon, self.recoverable = horizon, recoverable

    def optimal_action(self, source: Tensor, prefix: Tensor) -> Tensor:
        """The optimal action at every prefix, int64 ``[B, T]``."""
        return _next_foot(source, prefix).masked_fill(self.fallen(source, prefix), CLIMB)

    def fallen(self, source: Tensor, prefix: Tensor) -> Tensor:
        """Whether the walker is on the ground before step t, bool ``[B, T]``."""
        climbed = prefix == CLIMB
        wrong = ~climbed
        wrong[:, 0] = False  # BOS
        wrong[:, 1:] &= prefix[:, 1:] != _next_foot(source, prefix)[:, :-1]
        time = torch.arange(prefix.shape[1], device=prefix.device)
        events = torch.stack([wrong, climbed & self.recoverable]) * time
        last_wrong, last_climb = events.cummax(dim=-1).values  # [B, T] each
        return last_wrong > last_climb

    def cost(self, source: Tensor, action: Tensor) -> Tensor:
        """The cost of each action, ``[B, T]``: 0 for the correct foot on the rope, otherwise 1."""
        return super().cost(source, action).masked_fill(self.fallen(source, shift(action)), 1.0)

    def cost_to_go(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Q*(s, a), ``[B, T, V]`` or ``[N, V]``; see ``ExactOracle.cost_to_go``."""
        fallen, optimal = self.fallen(source, prefix), self.action(source, prefix)  # [B, T] each
        time = torch.arange(prefix.shape[1], device=prefix.device)
        remaining = self.horizon - 1 - time  # [T]
        fall = 1.0 + (remaining.clamp(max=1) if self.recoverable else remaining)
        cost = fall[:, None].repeat(len(prefix), 1, self.vocabulary_size)  # [B, T, V]
        cost[..., EOS] = 1.0  # ends the episode
        cost[..., CLIMB] = torch.where(fallen & (not self.recoverable), fall, 1.0)
        minimum = torch.where(fallen, cost[..., CLIMB], 0.0)
        cost.scatter_(-1, optimal[..., None], minimum[..., None])
        return cost if mask is None else cost[mask]


def _next_foot(source: Tensor, prefix: Tensor) -> Tensor:
    """The next foot, ``[B, T]``: the source's after BOS and ``climb``, otherwise the other."""
    other = torch.full_like(prefix, LEFT).masked_fill(prefix == LEFT, RIGHT)
    return torch.where((prefix == BOS) | (prefix == CLIMB), source[:, :1], other)
