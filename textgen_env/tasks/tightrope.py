"""Tightrope-v0: left, right, left, right.  Any other word is a fall, and nobody who only watched the expert knows the way back.

The laboratory's tightrope (``agents.analysis.mdps.tightrope``) as text.  On the rope the right action is the foot that the
source names, then the other one, and so on; after any other word the walker lies on the ground.  There the right action is
``climb``: it leads back to the start of the rope, at the source's foot, and until it is taken walking on does not help.  The
expert never falls, so its demonstrations hold no fallen state and no ``climb``: its clone has never been told of either.

``zero_one`` counts the actions that are not the expert's.  ``on_rope`` is the laboratory's own cost, in which the step that
climbs is paid for as well (u = 2), and every step of a fall that cannot be recovered from (u = T).  In two things text differs
from the laboratory: a needless ``climb`` costs one step and is no fall, and EOS ends the episode and with it the cost.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from textgen_env.corpus import Corpus, Pairs
from textgen_env.errors import UserError
from textgen_env.exact import ExactOracle
from textgen_env.types import BOS, UNK, shift
from textgen_env.vocabulary import Vocabulary
from textgen_env.world import World, build, once

ID = "Tightrope-v0"
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "teacher": "exact",
        "student.layers": 1,
        "student.width": 32,
        "student.heads": 2,
        "student.ffn": 64,
        "student.dropout": 0.0,
        "train.steps": 150,
        "train.batch_tokens": 2048,
        "train.lr": 2e-2,
        "train.warmup": 15,
    },
    "paper": {},
}
FEET = ("left", "right")
TRICKS = ("hop", "skip", "jump", "spin", "wave", "bow", "kneel", "dance", "sway", "juggle", "nod", "clap")
LEFT, RIGHT, CLIMB = range(UNK + 1, UNK + 4)  # the first tokens of the vocabulary; tricks come after them


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
) -> World:
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
    if horizon < 1 or not 0 <= tricks <= len(TRICKS) or not 0 < slip < 1:
        raise UserError(
            f"Tightrope-v0 needs horizon ≥ 1, 0 ≤ tricks ≤ {len(TRICKS)} and 0 < slip < 1, not {horizon}, {tricks}, {slip}"
        )
    if min(train, valid, test) < 1:
        raise UserError(f"each split needs a row: train={train} valid={valid} test={test}")
    generator = np.random.default_rng(seed)
    splits = {name: _walks(generator, rows, horizon) for name, rows in (("train", train), ("valid", valid), ("test", test))}
    corpus = Corpus("tightrope", "bundled", f"walks of {horizon} steps, seed {seed}", splits)
    vocabulary = Vocabulary.words([*FEET, "climb", *TRICKS[:tricks]])
    oracle = partial(TightropeOracle, len(vocabulary), recoverable, slip)
    limits = {"source_limit": 2, "horizon": horizon + 1}
    world = build(ID, corpus, vocabulary, **limits, metric="accuracy", reward="zero_one", oracle=oracle)
    cut = {name: replace(split, target=[row[:-1] for row in split.target]) for name, split in world.splits.items()}
    return replace(world, horizon=horizon, splits=cut)


def _walks(generator: np.random.Generator, rows: int, horizon: int) -> Pairs:
    first = generator.integers(2, size=rows).tolist()
    walks = [" ".join(FEET[(foot + step) % 2] for step in range(horizon)) for foot in (0, 1)]
    return Pairs([FEET[foot] for foot in first], [(walks[foot],) for foot in first])


class TightropeOracle(ExactOracle):
    """The exact expert: the other foot on the rope, ``climb`` on the ground."""

    def __init__(self, vocabulary_size: int, recoverable: bool = True, slip: float = 0.01) -> None:
        super().__init__(vocabulary_size, slip)
        self.recoverable = recoverable

    def right(self, source: Tensor, prefix: Tensor) -> Tensor:
        return _foot(source, prefix).masked_fill(self.fallen(source, prefix), CLIMB)

    def fallen(self, source: Tensor, prefix: Tensor) -> Tensor:
        """bool ``[B, T]``: on the ground before step t, that is, the last slip is later than the last climb."""
        climbed = prefix == CLIMB
        slipped = ~climbed
        slipped[:, 0] = False  # BOS
        slipped[:, 1:] &= prefix[:, 1:] != _foot(source, prefix)[:, :-1]
        time = torch.arange(prefix.shape[1], device=prefix.device)
        slip, climb = (torch.stack([slipped, climbed & self.recoverable]) * time).cummax(dim=-1).values  # [B, T] each
        return slip > climb

    def cost(self, source: Tensor, action: Tensor) -> Tensor:
        """The laboratory's cost, bool ``[B, T]``: steps that begin on the ground, or are not the right ones."""
        prefix = shift(action)
        return self.fallen(source, prefix) | (action != self.right(source, prefix))


def on_rope(world: World, split: str, index: int, action: np.ndarray, ended: bool) -> float:
    """A reward function for ``reward=``: minus the laboratory's cost of the last step."""
    oracle = world.oracle and world.oracle()
    if not isinstance(oracle, TightropeOracle):
        raise UserError(f"the reward on_rope is {ID}'s; {world.id} has no rope")
    source = torch.from_numpy(world.splits[split].source[index])[None]
    return -float(oracle.cost(source, torch.from_numpy(action)[None])[0, -1])


def _foot(source: Tensor, prefix: Tensor) -> Tensor:
    """Where the rope goes on after each token of ``prefix`` ``[B, T]``: at the source's foot after BOS and ``climb``."""
    other = torch.full_like(prefix, LEFT).masked_fill(prefix == LEFT, RIGHT)
    return torch.where((prefix == BOS) | (prefix == CLIMB), source[:, :1], other)
