"""MiniLLM: sequence-level reverse KL by policy gradient (Gu et al. 2024, "MiniLLM: knowledge distillation of LLMs")."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from agents.algorithms import Algorithm, LossOutput
from agents.generation.decoding import writable
from agents.generation.mixture import Mixture, mixed
from agents.generation.rollout import without_dropout
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


class MiniLLM(Algorithm):
    """Minimise KL(q ‖ p) between what the student writes, q, and the oracle, p, over whole sequences (equation 1).

    With r_t = log p(y_t)/q(y_t) the gradient splits in two (equation 3): that of E_{y_t ~ q}[r_t], which is computed over the
    whole vocabulary instead of being sampled, and Σ_t R_{t+1} ∇ log q(y_t), where R_{t+1} sums r over the steps after t; its
    mean instead of its sum is the paper's length normalisation.  Sequences are drawn from p̃ = αp + (1 - α)q (equation 4) and
    each step weighted by q(y_t)/p̃(y_t), the paper's approximation of the whole product of ratios.  One gradient step is taken
    on what was just drawn, so that there is no ratio to clip; the paper's language-modelling term is left out.

    Args:
        teacher_mix: α, the oracle's share in every step of the sampling, in [0, 1)
        length_normalised: R_{t+1} is the mean of what comes after t and not its sum, which would favour short sequences
        cold_start: allow a student that was not trained before
    """

    needs_start = True

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        generator: torch.Generator,
        teacher_mix: float = 0.2,
        length_normalised: bool = True,
        cold_start: bool = False,
    ) -> None:
        check_range("teacher_mix", teacher_mix, Range(0, 1, "most"))
        self.policy, self.oracle, self.generator = policy, oracle, generator
        self.teacher_mix, self.length_normalised, self.needs_start = teacher_mix, length_normalised, not cold_start

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        before, size = self.oracle.queries, batch.tokens  # by what was drawn, sequences would weigh by their length
        batch = self.write(batch)
        mask = batch.mask  # [B, T]
        with without_dropout(self.policy):  # as it wrote: dropout would make q another policy
            q = writable(self.policy(batch.source, batch.prefix, mask))  # [N, V]
        p = writable(self.oracle.log_probs(batch.source, batch.prefix, mask))  # [N, V]
        single = (q.exp() * (q - p)).sum(-1)  # [N]: minus E[r_t]
        action = batch.target[mask][:, None]
        q, p = q.gather(1, action)[:, 0], p.gather(1, action)[:, 0]  # [N] of what was written
        reward = (p - q).detach()
        weight = torch.exp(q.detach() - self.mixture(p, q.detach()))  # [N]
        loss = (weight * (single - self.after(reward, mask) * q)).sum() / size
        figures = {"reverse_kl": single.mean().item()}
        return LossOutput(loss, len(q), figures, decoded=len(q), scored=self.oracle.queries - before)

    def write(self, batch: Batch) -> Batch:
        """The batch with every row drawn anew from the mixture: a coin per step says who draws."""
        expert = torch.rand(len(batch), int(batch.limit.max()), generator=self.generator) < self.teacher_mix  # [B, T]
        mixture = Mixture(self.policy, self.oracle, expert.to(batch.source.device), draws=True)
        written = mixed(mixture, batch.source, batch.limit, self.generator, top_k=0)
        return batch.with_rows(torch.ones_like(batch.length, dtype=torch.bool), written)

    def mixture(self, p: Tensor, q: Tensor) -> Tensor:
        """log p̃ from log p and log q."""
        return torch.log(self.teacher_mix * p.exp() + (1 - self.teacher_mix) * q.exp())

    def after(self, reward: Tensor, mask: Tensor) -> Tensor:
        """R_{t+1} ``[N]``: what the steps after t bring, from the ``reward`` ``[N]`` of each step at ``mask`` ``[B, T]``."""
        steps = torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, reward)  # [B, T]
        after = steps.flip(1).cumsum(1).flip(1) - steps  # [B, T]
        if self.length_normalised:
            after = after / (mask.sum(1, keepdim=True) - torch.arange(1, mask.shape[1] + 1, device=mask.device)).clamp(min=1)
        return after[mask]


NAMES = {"minillm": partial(MiniLLM)}
