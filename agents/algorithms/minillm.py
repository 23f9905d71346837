"""MiniLLM: sequence-level reverse KL by policy gradient (Gu et al. 2024, "MiniLLM: knowledge distillation of LLMs")."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.estimators.returns import padded, to_go
from agents.generation.decoding import allowed_log_probs, pick
from agents.generation.interleaved import interleaved
from agents.generation.rollout import without_dropout
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy, select_positions


class MiniLLM(Algorithm):
    """Minimize KL(q ‖ p) between what the student generates, q, and the oracle, p, over whole sequences (equation 1).

    With r_t = log p(y_t)/q(y_t) the gradient splits in two (equation 3): that of E_{y_t ~ q}[r_t], which is computed over the
    whole vocabulary instead of being sampled, and Σ_t R_{t+1} ∇ log q(y_t), where R_{t+1} sums r over the steps after t; its
    mean instead of its sum is the paper's length normalization. Sequences are drawn from p̃ = αp + (1 - α)q (equation 4) and
    each step weighted by q(y_t)/p̃(y_t), the paper's approximation of the whole product of ratios. One gradient step is taken
    on what was just drawn, so that there is no ratio to clip; the paper's language-modeling term is left out.

    Args:
        teacher_mix: α, the oracle's share in every step of the sampling, in [0, 1)
        length_normalized: R_{t+1} is the mean of what comes after t and not its sum, which would favor short sequences
        cold_start: allow a student that was not trained before
    """

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
        """The loss with both parts of the gradient.

        It is divided by the tokens of the data: by those that were generated, sequences would weigh by their length.
        """
        weight, batch = batch.tokens, self.generate(batch, clock)
        states = batch.source, batch.prefix, batch.mask_cpu
        with without_dropout(self.policy):  # as it generated: dropout would make q another policy
            log_q = allowed_log_probs(self.policy(*states))  # [N, V]
        log_p = allowed_log_probs(self.oracle.log_probs(*states))  # [N, V]
        single = (log_q.exp() * (log_q - log_p)).sum(-1)  # [N]: -E[r_t]
        action = select_positions(batch.target, batch.mask_cpu)[:, None]
        log_q, log_p = (
            log_q.gather(1, action)[:, 0],
            log_p.gather(1, action)[:, 0],
        )  # [N], of what was generated
        q, p = log_q.detach().exp(), log_p.exp()
        ratio = q / (self.teacher_mix * p + (1 - self.teacher_mix) * q)  # q(y_t) / p̃(y_t)
        long = (
            self.after(log_p - log_q.detach(), batch.mask) * log_q
        )  # [N], its gradient is R_{t+1} ∇ log q(y_t)
        return Loss(
            (ratio * (single - long)).sum(),
            weight,
            {"reverse_kl": single.detach().mean()},
            batch.tokens,
        )

    def generate(self, batch: Batch, clock: Clock) -> Batch:
        """The batch with every row drawn anew from p̃."""

        def choose(
            own: Tensor, expert: Tensor, _: None, noise: Tensor
        ) -> tuple[Tensor, Tensor, None]:
            mixture = self.teacher_mix * expert.softmax(-1) + (1 - self.teacher_mix) * own.softmax(
                -1
            )  # [N, V]
            return pick(mixture.log(), noise), torch.zeros_like(noise, dtype=torch.bool), None

        noise = clock.uniform("episodes", batch.row, int(batch.limit.max()))  # [B, T]
        needed = noise.shape[1], noise.shape[1] if self.teacher_mix else 0
        generate = interleaved(self.policy, self.oracle, choose)
        episodes = generate(batch.source, batch.limit, noise, needed=needed).episodes
        return replace(batch, target=episodes.action, length=episodes.length.cpu())

    def after(self, reward: Tensor, mask: Tensor) -> Tensor:
        """R_{t+1} ``[N]``: what the steps after t bring, from the ``reward`` ``[N]`` of each step at ``mask`` ``[B, T]``."""
        rewards = padded(reward, mask)  # [B, T]
        after = to_go(rewards) - rewards
        if self.length_normalized:
            after = after / (to_go(mask.float()) - 1).clamp(min=1)
        return select_positions(after, mask)


NAMES = {"minillm": partial(MiniLLM)}
