"""Whose prefixes an imitator learns on: by the toss of a coin the data's or its own (Lin et al. 2020, Algorithm 1)."""

from __future__ import annotations

from torch import Tensor

from agents.generation.rollout import rollout
from textgen_env.types import Batch, Policy


def with_rollouts(
    batch: Batch, which: Tensor, policy: Policy, noise: Tensor | None = None, top_k: int = 0
) -> Batch:
    """``batch`` with the targets of some rows replaced by what ``policy`` generates for their sources, up to their limits.

    Args:
        batch: sources, and the limits of what may be generated for them.
        which: ``[B]`` bool on the CPU, the rows.
        policy: generates.
        noise: ``[B, T]`` uniform numbers to sample with; None: greedily.
        top_k: as in ``rollout``.
    """
    if not which.any():
        return batch
    rows = batch.rows(which)
    return batch.with_rows(
        which,
        rollout(policy, rows.source, rows.limit, None if noise is None else noise[which], top_k),
    )
