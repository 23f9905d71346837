"""Roll-ins that mix data and student prefixes, row by row (Lin et al. 2020, Algorithm 1)."""

from __future__ import annotations

from torch import Tensor

from agents.generation.rollout import rollout
from textgen_env.types import Batch, Policy


def with_rollouts(
    batch: Batch, which: Tensor, policy: Policy, noise: Tensor | None = None, top_k: int = 0
) -> Batch:
    """``batch`` with the targets of the selected rows replaced by what ``policy`` generates.

    Args:
        batch: sources, and the limits of their outputs.
        which: ``[B]`` bool on the CPU, the rows to replace.
        policy: the policy that generates.
        noise: ``[B, T]`` uniform noise to sample with; None: greedy.
        top_k: as in ``rollout``.
    """
    if not which.any():
        return batch
    rows = batch.rows(which)
    noise = None if noise is None else noise[which]
    return batch.with_rows(which, rollout(policy, rows.source, rows.limit, noise, top_k))
