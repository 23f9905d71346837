"""Roll a policy out in the world without a gradient: the student's own prefixes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from agents.decoding import greedy, sample
from agents.policy import Policy
from textgen_env.types import Trajectories


@contextmanager
def acting(policy: Policy) -> Iterator[None]:
    """Evaluation mode and no gradient; training mode is restored afterwards."""
    training = policy.training
    policy.train(False)
    try:
        with torch.no_grad():
            yield
    finally:
        policy.train(training)


def roll_out(policy: Policy, source: Tensor, steps: int, generator: torch.Generator, top_k: int = 1) -> Trajectories:
    """Its own episodes for ``source`` ``[B, S]``: greedy for ``top_k`` 1, else sampled from the k likeliest (0: all)"""
    with acting(policy):
        return greedy(policy, source, steps) if top_k == 1 else sample(policy, source, steps, generator, top_k=top_k)
