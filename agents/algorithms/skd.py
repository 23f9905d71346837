"""Speculative knowledge distillation (Xu et al. 2025)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import Algorithm, Clock
from agents.generation.decoding import pick
from agents.generation.interleaved import interleaved
from agents.losses.divergences import make_divergence
from agents.losses.loss import Loss
from agents.losses.sequence import distillation_loss
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class SKD(Algorithm):
    """Learn on sequences that the student proposes and the oracle corrects.

    At every step the student samples a token. If it is not among the oracle's K most likely tokens,
    a sample from the oracle replaces it (Xu et al. 2025, "Speculative knowledge distillation",
    Algorithm 1). The loss is D(p ‖ π) on the resulting prefixes, for oracle p and student π; no
    gradient flows through the sampling.

    With K = V every token is the student's, as in on-policy distillation. The smaller K, the closer
    the sequences are to the oracle's own.

    Args:
        accept_top_k: K, the rank in the oracle's distribution up to which a token is accepted
        divergence: forward_kl, reverse_kl, jsd or total_variation
        beta: β of the generalized JSD, from 0 (forward KL) to 1 (reverse KL)
    """

    uses_targets = False

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        accept_top_k: int = 25,
        divergence: str = "forward_kl",
        beta: float = 0.5,
    ) -> None:
        super().__init__()
        check_range("accept_top_k", accept_top_k, Range(1, 10**6))
        self.policy, self.oracle, self.accept_top_k = policy, oracle, accept_top_k
        self.divergence = make_divergence(divergence, beta)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The divergence at every position of the corrected sequences."""
        steps = int(batch.limit.max())
        names = "roll-in", "replacement"
        noise = torch.stack([clock.uniform(name, batch.row, steps) for name in names], 2)
        mixed = interleaved(self.policy, self.oracle, self.choose)(batch.source, batch.limit, noise)
        batch = batch.with_episodes(mixed.episodes)
        loss = distillation_loss(self.policy, self.oracle, batch, self.divergence)
        loss.metrics = {**loss.metrics, "replaced": mixed.expert.sum() / batch.tokens}
        return loss

    def choose(
        self, own: Tensor, expert: Tensor, _: None, noise: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        """The student's token, or the oracle's where it is not accepted; see ``interleaved``."""
        proposed = pick(own, noise[:, 0])  # [N]
        better = (expert > expert.gather(1, proposed[:, None])).sum(1)  # [N]
        rejected = better >= self.accept_top_k
        return torch.where(rejected, pick(expert, noise[:, 1]), proposed), rejected, None


NAMES = {"skd": partial(SKD)}
