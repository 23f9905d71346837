"""Scheduled sampling (Bengio et al. 2015) in parallel passes, for any policy."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import Algorithm, Clock
from agents.algorithms.schedules import beta_schedule
from agents.generation.decoding import pick
from agents.generation.rollout import eval_mode
from agents.losses.loss import Loss
from agents.losses.sequence import checked_smoothing, clone
from textgen_env.chunks import chunks
from textgen_env.errors import Range, check_range
from textgen_env.profiler import count
from textgen_env.types import Batch, Policy, select_positions


class ScheduledSampling(Algorithm):
    """Learn references from prefixes mixed with student tokens.

    L = -Σ_t log π(y_t | ỹ_<t, x), where ỹ_t is the reference's y_t with probability ε, otherwise
    the student's own token (Bengio et al. 2015, section 2.4). One coin is drawn per token.

    A first pass predicts tokens from the reference's prefix, a second one computes the loss on the
    mixed prefix (Mihaylova & Martins 2019, section 3). Further passes predict again from the
    mixed prefix (Duckworth et al. 2019): after k of them the first k tokens, after T all tokens
    are distributed as in Bengio's sequential procedure.

    The label is the reference's t-th token whatever the prefix is. That makes the objective
    inconsistent (Huszár 2015); DAgger queries an oracle instead.

    Args:
        epsilon: schedule of ε: exponential, linear, reverse_sigmoid or constant
        rate: final ε (exponential, linear), width (reverse_sigmoid) or ε (constant); null: default
        top_k: the student's tokens: 1 argmax, 0 samples from its whole distribution
        passes: prediction passes before the loss is computed
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
        check_range("top_k", top_k, Range(0, 1))
        check_range("passes", passes, Range(1, 1000))
        self.policy, self.epsilon = policy, beta_schedule(epsilon, rate)
        self.top_k, self.passes = top_k, passes
        self.label_smoothing = checked_smoothing(label_smoothing)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """NLL of the references' tokens at the mixed prefixes."""
        epsilon, steps = self.epsilon(clock.progress), batch.target.shape[1]
        keep = clock.uniform("coin", batch.row, steps) < epsilon  # [B, T]
        noise = clock.uniform("token", batch.row, steps)  # [B, T]
        keep, noise, mask = keep.to(batch.target.device), noise.to(batch.target.device), batch.mask
        mixed = batch
        for _ in range(self.passes):
            predicted = batch.target.clone()
            predicted[mask] = self.predict(mixed, noise[mask])
            mixed = replace(batch, target=torch.where(keep, batch.target, predicted))
        action = select_positions(batch.target, batch.mask_cpu)  # [N]
        loss = clone(self.policy, mixed, action, self.label_smoothing)
        replaced = (mixed.prefix != batch.prefix)[mask].float().mean()
        loss.metrics = {"epsilon": epsilon, "replaced": replaced}
        return loss

    def predict(self, batch: Batch, noise: Tensor) -> Tensor:
        """The student's tokens ``[N]`` at the batch's prefixes, sampled with ``noise`` ``[N]``."""
        with eval_mode(self.policy):
            features = self.policy.features(*batch.states)  # [N, D]
            tokens = [
                pick(self.policy.head(features[positions]), noise[positions], self.top_k)
                for _, positions in chunks(batch, self.policy.vocabulary_size)
            ]
        count("decoded", len(features))
        return torch.cat(tokens)


NAMES = {"scheduled_sampling": partial(ScheduledSampling)}
