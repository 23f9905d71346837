"""Minimum risk training: the expected loss over a few candidates, as if they were all there is."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from agents.algorithms import Algorithm, LossOutput
from agents.estimators.returns import Player, Reward, act_log_probs, per_episode
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class MRT(Algorithm):
    """Minimise Σ_y Q(y) Δ(y), Q(y) ∝ π(y | x)^α over the distinct candidates of a source (Shen et al. 2016, equations 9-11).

    Δ, the risk, is minus the return.

    Args:
        samples: candidates the student writes for each source; the batch grows by as much.
        alpha: sharpness of Q; small: all candidates count alike.
        reference: the reference is a candidate too.
        cold_start: allow a student that was not trained before.
    """

    needs_start = True

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        generator: torch.Generator,
        reward: Reward,
        samples: int = 4,
        alpha: float = 5e-3,
        reference: bool = False,
        cold_start: bool = False,
    ) -> None:
        check_range("samples", samples, Range(1 if reference else 2, 1000))  # with the reference, two candidates
        check_range("alpha", alpha, Range(0, 10**6, "least"))
        self.policy, self.samples, self.alpha, self.reference = policy, samples, alpha, reference
        self.needs_start = not cold_start
        self.player = Player(policy, oracle, generator, reward)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """The expected risk over the distinct candidates of each source (Shen et al. 2016)."""
        played = self.player.write(batch, self.samples, self.reference)
        each = self.samples + self.reference  # K
        log_probs, _ = act_log_probs(self.policy, played.batch)  # [N]
        score = self.alpha * per_episode(log_probs, played.batch.length).view(-1, each)  # [B, K]
        repeats = repeated(played.batch.target.view(-1, each, played.batch.target.shape[1]))  # [B, K]
        weight = score.masked_fill(repeats, -torch.inf).softmax(1)  # [B, K], Q
        risk = -(weight * played.total.view(-1, each)).sum(1).mean()
        return played.output(risk, candidates=each - repeats.sum(1).float().mean().item())


def repeated(candidate: Tensor) -> Tensor:
    """Which candidates ``[B, K, T]`` equal an earlier one of their source: bool ``[B, K]``."""
    same = (candidate[:, :, None] == candidate[:, None]).all(-1)  # [B, K, K]
    return same.tril(-1).any(-1)


NAMES = {"mrt": partial(MRT)}
