"""Scheduled sampling (Bengio et al. 2015), token by token, for every policy and not only for recurrent ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import Algorithm, Clock
from agents.algorithms.schedules import beta as beta_schedule
from agents.generation.decoding import pick
from agents.generation.rollout import acting
from agents.losses.loss import Loss
from agents.losses.sequence import checked_smoothing, clone
from textgen_env.errors import Range, check_range
from textgen_env.profiler import count
from textgen_env.types import Batch, Policy, select_positions


class ScheduledSampling(Algorithm):
    """Clone the references, from prefixes in which tokens are replaced by the student's predictions.

    A coin per token: with probability ε the reference's token stays. The first pass predicts from the reference's prefix,
    the second learns from the mixed one (two-pass: Mihaylova & Martins 2019, section 3). More passes predict again from the
    prefix mixed so far: after k of them the first k tokens are those of Bengio's sequential procedure, after T all are
    (Duckworth et al. 2019). The label remains the reference's t-th token whatever came before it: no oracle is queried, and
    that is the inconsistency which DAgger does not have (Huszár 2015).

    Args:
        epsilon: schedule of ε, the share of reference tokens: exponential, linear, reverse_sigmoid or constant
        rate: the schedule's parameter; null: its kind's own (exponential 1/200 and linear 0, ε at the end;
            reverse_sigmoid 0.1, its width; constant 1/2)
        top_k: the student's token is its most likely (1) or sampled from its whole distribution (0)
        passes: predictions before the learning pass
        label_smoothing: probability mass spread evenly over the vocabulary, in [0, 1)
    """

    def __init__(
        self,
        policy: Policy,
        epsilon: str = "linear",
        rate: float | None = None,
        top_k: int = 0,
        passes: int = 1,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        check_range(
            "top_k", top_k, Range(0, 1)
        )  # 0: a sample of the whole distribution, 1: the argmax
        check_range("passes", passes, Range(1, 1000))
        self.policy, self.epsilon = policy, beta_schedule(epsilon, rate)
        self.top_k, self.passes = top_k, passes
        self.label_smoothing = checked_smoothing(label_smoothing)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """NLL of the references' actions at the mixed prefixes."""
        keep = clock.uniform("coin", batch.row, batch.target.shape[1]) < self.epsilon(
            clock.progress
        )  # [B, T]
        noise = clock.uniform("token", batch.row, batch.target.shape[1])  # [B, T]
        keep, noise, mask = keep.to(batch.target.device), noise.to(batch.target.device), batch.mask
        mixed = batch
        for _ in range(self.passes):
            predicted = batch.target.clone()
            predicted[mask] = self.predict(mixed, noise[mask])
            mixed = replace(batch, target=torch.where(keep, batch.target, predicted))
        loss = clone(
            self.policy, mixed, select_positions(batch.target, batch.mask_cpu), self.label_smoothing
        )
        replaced = (mixed.prefix != batch.prefix)[mask].float().mean()
        loss.metrics = {"epsilon": self.epsilon(clock.progress), "replaced": replaced}
        return loss

    def predict(self, batch: Batch, noise: Tensor) -> Tensor:
        """The student's tokens ``[N]`` at the batch's prefixes, sampled by the uniform ``noise`` ``[N]``."""
        with acting(self.policy):
            logits = self.policy(batch.source, batch.prefix, batch.mask_cpu)  # [N, V]
        count("decoded", len(logits))
        return pick(logits, noise, self.top_k)


NAMES = {"scheduled_sampling": partial(ScheduledSampling)}
