"""Roll a policy out in the task without a gradient: the student's own prefixes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn

from agents.generation.decoding import greedy, sample
from textgen_env.profiler import phase
from textgen_env.types import Policy, Trajectories


@contextmanager
def acting(policy: Policy) -> Iterator[None]:
    """Evaluation mode and no gradient, booked as decoding; training mode is restored afterwards."""
    training = policy.training
    policy.train(False)
    try:
        with torch.no_grad(), phase("decode"):
            yield
    finally:
        policy.train(training)


@contextmanager
def without_dropout(policy: Policy) -> Iterator[None]:
    """Evaluation mode with gradients; recurrent layers stay in training mode, which cuDNN wants for their gradient."""
    modes = {module: module.training for module in policy.modules()}
    for module in modes:
        module.training = isinstance(module, nn.RNNBase)
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def frozen(policy: Policy) -> Policy:
    """A copy that stays as ``policy`` is now."""
    copy = deepcopy(policy).train(False)
    for weight in copy.parameters():
        weight.requires_grad_(False)
    return copy


def roll_out(
    policy: Policy,
    source: Tensor,
    steps: int | Tensor,
    generator: torch.Generator,
    top_k: int = 1,
    forced: Tensor | None = None,
) -> Trajectories:
    """Its own episodes for ``source`` ``[B, S]``: greedy for ``top_k`` 1, else sampled from the k likeliest (0: all).

    forced ``[B, F]``: the first actions of each, if given.  Scores are not reckoned.
    """
    with acting(policy):
        if top_k == 1:
            return greedy(policy, source, steps, forced, scored=False)
        return sample(policy, source, steps, generator, top_k=top_k, forced=forced, scored=False)
