"""Minimum risk training (Shen et al. 2016)."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.episodes import Reward, generate_episodes, log_probs_of
from textgen_env.errors import Range, check_range
from textgen_env.types import PAD, Batch, Policy


class MRT(Algorithm):
    """Minimize the expected risk over sampled candidates.

    L = Σ_y Q(y) Δ(y) with Q(y) ∝ π(y | x)^α over the distinct candidates y of a source x
    (Shen et al. 2016, equations 9-11). The risk Δ is minus the return.

    Args:
        samples: candidates generated per source; multiplies the batch size
        alpha: α, sharpness of Q; the smaller, the more uniform
        reference: add the reference to the candidates
        cold_start: allow a student that has not been trained
    """

    needs_start = True

    def __init__(
        self,
        policy: Policy,
        reward: Reward,
        samples: int = 4,
        alpha: float = 5e-3,
        reference: bool = False,
        cold_start: bool = False,
    ) -> None:
        super().__init__()
        check_range("samples", samples, Range(1 if reference else 2, 1000))
        check_range("alpha", alpha, Range(0, 10**6, "least"))
        self.policy, self.reward, self.samples, self.alpha = policy, reward, samples, alpha
        self.reference, self.needs_start = reference, not cold_start
        self.uses_targets = reference

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The expected risk over the distinct candidates of each source."""
        size, forced = self.samples + self.reference, None  # K
        if self.reference:  # the last candidate is forced to be the reference
            forced = F.pad(batch.target[:, None], (0, 0, self.samples, 0), value=PAD)  # [B, K, T]
        candidates = generate_episodes(self.policy, self.reward, batch, clock.uniform, size, forced)
        duplicate = is_duplicate(candidates.batch.target.unflatten(0, (-1, size)))  # [B, K]
        log_probs, _ = log_probs_of(self.policy, candidates.batch)  # [B·K, T']
        score = self.alpha * log_probs.sum(1).view(-1, size)  # [B, K]
        q = score.masked_fill(duplicate, -torch.inf).softmax(1)  # [B, K]
        risk = -(q * candidates.returns.view(-1, size)).sum(1)  # [B]
        return candidates.loss(risk, candidates=size - duplicate.sum(1).float().mean())


def is_duplicate(candidate: Tensor) -> Tensor:
    """Whether each of ``[B, K, T]`` candidates equals an earlier one of its source: ``[B, K]``."""
    same = (candidate[:, :, None] == candidate[:, None]).all(-1)  # [B, K, K]
    return same.tril(-1).any(-1)


NAMES = {"mrt": partial(MRT)}
