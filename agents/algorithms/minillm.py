"""MiniLLM (Gu et al. 2024, "MiniLLM: Knowledge distillation of large language models")."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.episodes import reverse_kl_loss
from agents.estimators.returns import padded, rewards_to_go
from agents.generation.decoding import pick
from agents.generation.interleaved import interleaved
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy, select_positions


class MiniLLM(Algorithm):
    """Minimize the sequence-level reverse KL by policy gradient.

    L = KL(q ‖ p) = E_{y ~ q} Σ_t log q(y_t)/p(y_t) for student q and oracle p (equation 1). With
    r_t = log p(y_t)/q(y_t) its gradient has two parts (equation 3):

        ∇L = -E[Σ_t w_t (∇ E_{y_t ~ q}[r_t] + R_{t+1} ∇ log q(y_t))]

    The first is computed exactly, over the whole vocabulary. R_{t+1} is the sum of r over the steps
    after t, or their mean (the paper's length normalization). Sequences are sampled from
    p̃ = αp + (1 - α)q (equation 4), and w_t = q(y_t)/p̃(y_t) is the paper's one-step approximation
    of the importance weight. Unlike the paper, each sample is used for one update, so no ratio is
    clipped, and there is no language-modeling term.

    Args:
        teacher_mix: α, the oracle's weight in the sampling distribution, in [0, 1)
        length_normalized: R_{t+1} is a mean; with a sum, short sequences are favored
        cold_start: allow a student that has not been trained
    """

    uses_targets = False
    needs_start = True
    oracle: Oracle

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        teacher_mix: float = 0.2,
        length_normalized: bool = True,
        cold_start: bool = False,
    ) -> None:
        super().__init__()
        check_range("teacher_mix", teacher_mix, Range(0, 1, "most"))
        self.policy, self.oracle, self.teacher_mix = policy, oracle, teacher_mix
        self.length_normalized, self.needs_start = length_normalized, not cold_start

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """A loss with both parts of the gradient.

        It is divided by the tokens of the data, not of the samples: otherwise a sequence's weight
        would depend on the lengths of the others.
        """
        weight, batch = batch.tokens, self.generate(batch, clock)
        loss = reverse_kl_loss(self.policy, self.oracle, batch, self.losses)
        return Loss(loss.sum, weight, loss.metrics, batch.tokens)

    def losses(self, kl: Tensor, log_q: Tensor, log_p: Tensor, batch: Batch) -> Tensor:
        """The losses ``[N]``, w_t (kl - R_{t+1} log q(y_t)); see ``ReverseKLLosses``."""
        q, p = log_q.detach().exp(), log_p.exp()
        ratio = q / (self.teacher_mix * p + (1 - self.teacher_mix) * q)  # [N], w_t
        later = self.after(log_p - log_q.detach(), batch.mask) * log_q  # [N], R_{t+1} log q(y_t)
        return ratio * (kl - later)  # kl is -E[r_t]

    def generate(self, batch: Batch, clock: Clock) -> Batch:
        """The batch with targets sampled from p̃."""

        def choose(
            own: Tensor, expert: Tensor, _: None, noise: Tensor
        ) -> tuple[Tensor, Tensor, None]:
            p, q = expert.softmax(-1), own.softmax(-1)  # [N, V]
            mixture = self.teacher_mix * p + (1 - self.teacher_mix) * q  # [N, V]
            return pick(mixture.log(), noise), torch.zeros_like(noise, dtype=torch.bool), None

        noise = clock.uniform("episodes", batch.row, int(batch.limit.max()))  # [B, T]
        needed = noise.shape[1], noise.shape[1] if self.teacher_mix else 0
        generate = interleaved(self.policy, self.oracle, choose)
        episodes = generate(batch.source, batch.limit, noise, needed=needed).episodes
        return batch.with_episodes(episodes)

    def after(self, reward: Tensor, mask: Tensor) -> Tensor:
        """R_{t+1} ``[N]`` from the ``reward`` ``[N]`` of each step in ``mask`` ``[B, T]``."""
        rewards = padded(reward, mask)  # [B, T]
        after = rewards_to_go(rewards) - rewards
        if self.length_normalized:
            after = after / (rewards_to_go(mask.float()) - 1).clamp(min=1)
        return select_positions(after, mask)


NAMES = {"minillm": partial(MiniLLM)}
