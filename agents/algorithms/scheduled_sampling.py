"""Scheduled sampling (Bengio et al. 2015), token by token, for every policy and not only for recurrent ones."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from agents.algorithms import Algorithm, LossOutput
from agents.algorithms.schedules import beta as beta_schedule
from agents.generation.decoding import draw, writable
from agents.generation.rollout import acting
from agents.losses.sequence import checked_smoothing, nll
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Policy, shift


class ScheduledSampling(Algorithm):
    """Clone the references, from prefixes in which tokens were replaced by what the student would have put there.

    A coin per token: with probability ε the reference's token stays.  The first pass predicts from the reference's prefix,
    the second learns from the mixed one (two-pass: Mihaylova & Martins 2019, section 3).  More passes predict again from the
    prefix mixed so far: after k of them the first k tokens are those of Bengio's sequential procedure, after T all are
    (Duckworth et al. 2019).  The label remains the reference's t-th token whatever came before it: no oracle is asked, and
    that is the inconsistency which DAgger does not have (Huszár 2015).

    Args:
        epsilon: schedule of ε, the share of reference tokens: exponential, linear, reverse_sigmoid or constant
        rate: the schedule's parameter; null: its kind's own (exponential 1/200 and linear 0, ε at the end;
            reverse_sigmoid 0.1, its width; constant 1/2)
        top_k: the student's token is its likeliest (1) or drawn from its whole distribution (0)
        passes: predictions before the learning pass
        label_smoothing: probability mass spread evenly over the vocabulary, in [0, 1)
    """

    def __init__(
        self,
        policy: Policy,
        generator: torch.Generator,
        epsilon: str = "linear",
        rate: float | None = None,
        top_k: int = 0,
        passes: int = 1,
        label_smoothing: float = 0.0,
    ) -> None:
        check_range("top_k", top_k, Range(0, 1))  # 0: a draw from the whole distribution, 1: the argmax
        check_range("passes", passes, Range(1, 1000))
        self.policy, self.generator = policy, generator
        self.label_smoothing = checked_smoothing(label_smoothing)
        self.epsilon, self.top_k, self.passes = beta_schedule(epsilon, rate), top_k, passes

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        epsilon, mask = self.epsilon(progress), batch.mask
        prefix = self.mixed(batch, epsilon)
        logits = self.policy(batch.source, prefix, mask)  # [N, V]
        figures = {"epsilon": epsilon, "replaced": (prefix != batch.prefix)[mask].float().mean().item()}
        loss = nll(logits, batch.target[mask], self.label_smoothing)
        return LossOutput(loss, len(logits), figures, decoded=self.passes * len(logits))

    def mixed(self, batch: Batch, epsilon: float) -> Tensor:
        """The prefix ``[B, T]`` with each token the reference's with probability ``epsilon``, else the student's."""
        coin, noise = torch.rand(2, *batch.target.shape, generator=self.generator).to(batch.source.device)  # [B, T] each
        mask, prefix = batch.mask, batch.prefix
        with acting(self.policy):
            for _ in range(self.passes):
                predicted = batch.target.clone()
                predicted[mask] = self.predict(self.policy(batch.source, prefix, mask), noise[mask])
                prefix = shift(torch.where(coin < epsilon, batch.target, predicted))
        return prefix

    def predict(self, logits: Tensor, noise: Tensor) -> Tensor:
        """A token ``[N]`` of each of the ``logits`` ``[N, V]``, drawn by the uniform ``noise`` ``[N]``."""
        log_probs = writable(logits)
        return log_probs.argmax(-1) if self.top_k else draw(log_probs, noise[:, None]).squeeze(1)


NAMES = {"scheduled_sampling": partial(ScheduledSampling)}
