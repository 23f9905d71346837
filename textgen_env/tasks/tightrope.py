"""Tightrope-v0: left, right, left, right.  Any other word is a fall, and nobody who only watched the expert knows the way back.

The laboratory's tightrope (``agents.theory.mdps.tightrope``) as text.  On the rope the right action is the foot that the
source names, then the other one, and so on; after any other word the walker lies on the ground.  There the right action is
``climb``: it leads back to the start of the rope, at the source's foot, and until it is taken walking on does not help.  The
expert never falls, so its demonstrations hold no fallen state and no ``climb``: its clone has never been told of either.

A step costs 1 unless it sets the right foot on the rope: so does a fall, and so does every step on the ground,
the climb included (u = 2; u = T where a fall is for ever).  The reward ``cost``, the task's own, is minus that,
as in the laboratory.  In two things text differs from it: a needless ``climb`` costs one step and is no fall, and
EOS ends the episode and with it the cost.
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
from textgen_env.tasks.task import Task, once
from textgen_env.types import BOS, EOS, UNK, shift

ID = "Tightrope-v0"
FEET = ("left", "right")
TRICKS = (
    "hop",
    "skip",
    "jump",
    "spin",
    "wave",
    "bow",
    "kneel",
    "dance",
    "sway",
    "juggle",
    "nod",
    "clap",
)
LEFT, RIGHT, CLIMB = range(
    UNK + 1, UNK + 4
)  # the first tokens of the vocabulary; tricks come after them


@once
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
    """Sources of one foot; the reference is ``horizon`` steps from there, without EOS: only the horizon ends them.

    Args:
        horizon: T, the steps of every episode
        recoverable: climbing leads back on the rope; false: it is the right action on the ground, but a fall is for ever
        tricks: words that are wrong everywhere
        slip: what the expert's distribution gives to all wrong words together; it acts, and demonstrates, by its best
        train: training rows
        valid: validation rows
        test: test rows
        seed: seed of the sources
    """
    check_range("horizon", horizon, Range(1, MAX_LENGTH - 1))
    check_range("tricks", tricks, Range(0, len(TRICKS)))
    check_range("slip", slip, Range(0, 1, "both"))
    for name, size in (("train", train), ("valid", valid), ("test", test)):
        check_range(name, size, Range(1, 10**7))
    generator = np.random.default_rng(seed)
    splits = {
        name: _walks(generator, rows, horizon)
        for name, rows in (("train", train), ("valid", valid), ("test", test))
    }
    corpus = Corpus("tightrope", "bundled", f"walks of {horizon} steps, seed {seed}", splits)
    vocabulary = Vocabulary.from_words([*FEET, "climb", *TRICKS[:tricks]])
    oracle = partial(TightropeOracle, len(vocabulary), horizon, recoverable, slip)
    task = Task(
        ID,
        corpus,
        vocabulary,
        2,
        Limit(horizon + 1),
        metric="accuracy",
        reward="cost",
        oracle=oracle,
    )
    cut = {
        name: replace(split, target=[row[:-1] for row in split.target])
        for name, split in task.splits.items()
    }
    return replace(task, limit=Limit(horizon), splits=cut)


def _walks(generator: np.random.Generator, rows: int, horizon: int) -> Pairs:
    first = generator.integers(2, size=rows).tolist()
    walks = [" ".join(FEET[(foot + step) % 2] for step in range(horizon)) for foot in (0, 1)]
    return Pairs([FEET[foot] for foot in first], [(walks[foot],) for foot in first])


class TightropeOracle(ExactOracle):
    """The exact expert: the other foot on the rope, ``climb`` on the ground."""

    def __init__(
        self, vocabulary_size: int, horizon: int, recoverable: bool = True, slip: float = 0.01
    ) -> None:
        super().__init__(vocabulary_size, slip)
        self.horizon, self.recoverable = horizon, recoverable

    def right(self, source: Tensor, prefix: Tensor) -> Tensor:
        return _foot(source, prefix).masked_fill(self.fallen(source, prefix), CLIMB)

    def fallen(self, source: Tensor, prefix: Tensor) -> Tensor:
        """Bool ``[B, T]``: on the ground before step t, that is, the last slip is later than the last climb."""
        climbed = prefix == CLIMB
        slipped = ~climbed
        slipped[:, 0] = False  # BOS
        slipped[:, 1:] &= prefix[:, 1:] != _foot(source, prefix)[:, :-1]
        time = torch.arange(prefix.shape[1], device=prefix.device)
        slip, climb = (
            (torch.stack([slipped, climbed & self.recoverable]) * time).cummax(dim=-1).values
        )  # [B, T] each
        return slip > climb

    def cost(self, source: Tensor, action: Tensor) -> Tensor:
        """0 for the right foot on the rope, 1 for any other step: ``[B, T]``."""
        return super().cost(source, action).masked_fill(self.fallen(source, shift(action)), 1.0)

    def cost_to_go(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Q*(s, a): what an action, and the expert's actions after it, cost: ``[B, T, V]`` or ``[N, V]``."""
        fallen, right = self.fallen(source, prefix), self.action(source, prefix)  # [B, T] each
        after = (
            self.horizon - 1 - torch.arange(prefix.shape[1], device=prefix.device)
        )  # [T], steps left
        fall = 1.0 + (after.clamp(max=1) if self.recoverable else after)
        cost = fall[:, None].repeat(len(prefix), 1, self.vocabulary_size)  # [B, T, V]
        cost[..., EOS] = 1.0  # nothing is paid after the end
        cost[..., CLIMB] = torch.where(fallen & (not self.recoverable), fall, 1.0)
        best = torch.where(fallen, cost[..., CLIMB], 0.0)
        cost.scatter_(-1, right[..., None], best[..., None])
        return cost if mask is None else cost[mask]


def _foot(source: Tensor, prefix: Tensor) -> Tensor:
    """Where the rope goes on after each token of ``prefix`` ``[B, T]``: at the source's foot after BOS and ``climb``."""
    other = torch.full_like(prefix, LEFT).masked_fill(prefix == LEFT, RIGHT)
    return torch.where((prefix == BOS) | (prefix == CLIMB), source[:, :1], other)
