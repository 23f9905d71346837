"""AdaSwitch (Peng et al. 2025)."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.algorithms.base import Algorithm, Clock
from agents.generation.decoding import allowed_log_probs, pick
from agents.generation.interleaved import interleaved
from agents.losses.divergences import make_divergence
from agents.losses.loss import Loss
from agents.losses.sequence import distillation_loss
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class AdaSwitch(Algorithm):
    """Learn on sequences that the student begins and the oracle ends.

    The student samples until d_t > K · d̄, where d_t = KL(p ‖ π)(y_<t) for oracle p and student π,
    and d̄ is the mean of d over the ``window`` steps before t. From then on the oracle samples to
    the end (Peng et al. 2025, "AdaSwitch", section 3). The loss is D(p ‖ π) on the resulting
    prefixes; no gradient flows through the sampling.

    While fewer than ``window`` steps have passed, d̄ is the mean over these; the first step is
    always the student's. The defaults of ``threshold`` and ``window`` are ours, for short outputs.

    Args:
        threshold: K, how many times its recent mean the KL must exceed for the oracle to take over
        window: steps in the mean
        divergence: forward_kl, reverse_kl, jsd or total_variation
        beta: β of the generalized JSD, from 0 (forward KL) to 1 (reverse KL)
    """

    uses_targets = False

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        threshold: float = 2.0,
        window: int = 10,
        divergence: str = "forward_kl",
        beta: float = 0.5,
    ) -> None:
        super().__init__()
        check_range("threshold", threshold, Range(0, 10**6))
        check_range("window", window, Range(1, 16_384))
        self.policy, self.oracle = policy, oracle
        self.threshold, self.window = threshold, window
        self.divergence = make_divergence(divergence, beta)

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The divergence at every position of the mixed sequences."""
        steps, device = int(batch.limit.max()), batch.source.device
        names = "roll-in", "guidance"
        noise = torch.stack([clock.uniform(name, batch.row, steps) for name in names], 2)
        recent = torch.full((len(batch), self.window), torch.nan, device=device)
        switched = torch.zeros(len(batch), dtype=torch.bool, device=device)
        generate = interleaved(self.policy, self.oracle, self.choose)
        mixed = generate(batch.source, batch.limit, noise, memory=(recent, switched))
        batch = batch.with_episodes(mixed.episodes)
        loss = distillation_loss(self.policy, self.oracle, batch, self.divergence)
        loss.metrics = {
            **loss.metrics,
            "by_oracle": mixed.expert.sum() / batch.tokens,
            "switched": mixed.expert.any(1).float().mean(),
        }
        return loss

    def choose(
        self, own: Tensor, expert: Tensor, memory: tuple[Tensor, Tensor], noise: Tensor
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """The student's token until the switch, then the oracle's; see ``interleaved``.

        ``memory`` holds the recent divergences ``[N, window]``, NaN before the first step, and who
        has switched ``[N]``.
        """
        recent, switched = memory
        q, p = allowed_log_probs(own), allowed_log_probs(expert)  # [N, V]
        kl = F.kl_div(q, p, reduction="none", log_target=True).sum(1)  # [N], KL(p ‖ π)
        # At the first step the mean is NaN, and no number is greater.
        switched = switched | (kl > self.threshold * recent.nanmean(1))
        recent = torch.cat([recent[:, 1:], kl[:, None]], 1)
        token = torch.where(switched, pick(expert, noise[:, 1]), pick(own, noise[:, 0]))
        return token, switched, (recent, switched)


NAMES = {"adaswitch": partial(AdaSwitch)}
