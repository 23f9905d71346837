"""Generalised knowledge distillation (Agarwal et al. 2024, "On-policy distillation of language models", Algorithm 1)."""

from __future__ import annotations

from functools import partial

import torch

from agents.algorithms import Algorithm, LossOutput
from agents.generation.rollout import roll_out
from agents.losses.divergences import divergence as named
from agents.losses.sequence import distilling
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class GKD(Algorithm):
    """Any divergence from the oracle, on what the student writes and on the data in a fixed proportion.

    The student samples from its whole distribution, and no gradient flows through that.  The paper tosses one coin a
    mini-batch, here it is one a sequence: the same proportion with less variance.

    Args:
        student_fraction: λ, the share of sequences that the student writes itself; 0 is supervised, 1 on-policy distillation
        divergence: forward_kl, reverse_kl, jsd or total_variation
        beta: β of the generalised JSD, from 0 (forward KL) to 1 (reverse KL); scaled so that it is continuous there
    """

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        generator: torch.Generator,
        student_fraction: float = 0.5,
        divergence: str = "jsd",
        beta: float = 0.5,
    ) -> None:
        check_range("student_fraction", student_fraction, Range(0, 1))
        self.policy, self.oracle, self.generator = policy, oracle, generator
        self.student_fraction, self.divergence = student_fraction, named(divergence, beta)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        on_policy = torch.rand(len(batch), generator=self.generator) < self.student_fraction  # [B]
        decoded = 0
        if on_policy.any():
            drawn = batch.rows(on_policy)
            written = roll_out(self.policy, drawn.source, drawn.limit, self.generator, top_k=0)
            batch, decoded = batch.with_rows(on_policy, written), int(written.length.sum())
        loss = distilling(self.policy, self.oracle, batch, self.divergence)
        return LossOutput(loss, batch.tokens, {"on_policy": on_policy.float().mean()}, decoded, scored=batch.tokens)


NAMES = {"gkd": partial(GKD)}
