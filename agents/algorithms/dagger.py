"""DAgger for text, as in ImitKD: each iteration's data replaces the previous iteration's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from agents.algorithms.base import UPDATES_PER_ROUND, Algorithm, Clock
from agents.algorithms.schedules import beta_schedule
from agents.generation.decoding import pick
from agents.generation.interleaved import interleaved, stepper, steps_until
from agents.generation.roll_in import with_rollouts
from agents.losses.loss import Loss
from agents.losses.sequence import (
    checked_nll,
    checked_smoothing,
    checked_tail,
    clone,
    cross_entropy,
    distillation_loss,
    with_nll,
)
from textgen_env.errors import Range, check_range, unknown
from textgen_env.types import Batch, Oracle, Policy, select_positions

LABELS = ("action", "distribution")
RELABEL = ("student", "all")
MIXTURES = ("step", "sequence", "batch")


class DAgger(Algorithm):
    """Imitate the oracle on prefixes from data and student.

    ImitKD (Lin et al. 2020, Algorithm 1): with probability β a sequence keeps its training pair,
    otherwise the current student generates the target from the source. On the prefixes s_t of the
    mixed batch, for oracle p and student π, the loss is (section 3)

        L_full = -Σ_t Σ_v p(v | s_t) log π(v | s_t)                     labels=distribution
        L_opt  = -Σ_t log π(a*_t | s_t),  a*_t = argmax_v p(v | s_t)    labels=action

    In L_opt only sequences that the student generated are relabeled; training pairs keep their own
    tokens. No gradient flows through the generation.

    mixture=step is the mixture policy π_i = β π* + (1 - β) π of DAgger (Ross et al. 2011): at each
    step the oracle or the student acts, and no training pair is used.

    Args:
        labels: action (L_opt: the oracle's most likely token) or distribution (L_full)
        beta: schedule of β: exponential, linear, reverse_sigmoid or constant
        rate: final β (exponential, linear), width (reverse_sigmoid) or β (constant); null: default
        top_k: how the student generates: 1 greedy, k top-k sampling, 0 sampling from all tokens
        mixture: the unit that one coin decides: step, sequence (ImitKD) or batch
        relabel: with labels=action, sequences that get the oracle's labels: student (ImitKD) or all
        label_top_k: with labels=distribution, keep the oracle's k most likely tokens; 0: all
        tail: the oracle's other tokens: drop (renormalize the k) or bucket (one outcome for all)
        demonstrations: targets of the pairs: references, teacher (ImitKD*) or best_of_beam
        group: mini-batches whose roll-ins are generated before the first update (ImitKD: 4)
        label_smoothing: with labels=action, probability mass spread over the vocabulary, in [0, 1)
        nll: with labels=distribution, share of the NLL of the data's targets in the loss, in [0, 1)
    """

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        labels: str = "distribution",
        beta: str = "exponential",
        rate: float | None = None,
        top_k: int = 1,
        mixture: str = "sequence",
        relabel: str = "student",
        label_top_k: int = 0,
        demonstrations: str = "references",
        group: int = 1,
        label_smoothing: float = 0.0,
        tail: str = "drop",
        nll: float = 0.0,
    ) -> None:
        super().__init__()
        choices = (
            ("labels", labels, LABELS),
            ("relabel", relabel, RELABEL),
            ("mixture", mixture, MIXTURES),
        )
        for name, value, valid in choices:
            if value not in valid:
                raise unknown(name, value, valid)
        check_range("group", group, Range(1, UPDATES_PER_ROUND))
        check_range("top_k", top_k, Range(0, policy.vocabulary_size))
        check_range("label_top_k", label_top_k, Range(0, policy.vocabulary_size))
        self.policy, self.oracle = policy, oracle
        self.labels, self.beta, self.top_k = labels, beta_schedule(beta, rate), top_k
        self.mixture, self.relabel_all, self.label_top_k = mixture, relabel == "all", label_top_k
        self.demonstrations, self.batches_per_round = demonstrations, group
        self.label_smoothing = checked_smoothing(label_smoothing)
        self.tail, self.nll = checked_tail(tail), checked_nll(nll)
        mixed = mixture != "step" and any(self.beta(progress) > 0 for progress in (0.0, 1.0))
        self.uses_targets = mixed or nll > 0

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """L_opt or L_full on a batch mixed with the current β."""
        loss = self.imitate(*self.roll_in(batch, clock), clock)
        return with_nll(loss, self.policy, batch, self.nll)

    def updates(self, batches: list[Batch], clock: Clock) -> Iterator[Loss]:
        """The loss of one batch; for a group, generate all roll-ins before the first update."""
        if len(batches) == 1:
            yield self.loss(batches[0], clock)
            return
        rolled_in = [
            self.roll_in(batch, clock.later(number)) for number, batch in enumerate(batches)
        ]
        for number, (mixed, on_policy) in enumerate(rolled_in):
            loss = self.imitate(mixed, on_policy, clock.later(number))
            yield with_nll(loss, self.policy, batches[number], self.nll)

    def roll_in(self, batch: Batch, clock: Clock) -> tuple[Batch, Tensor]:
        """The mixed batch, and a CPU mask ``[B]`` of the rows that contain the student's tokens."""
        beta, steps = self.beta(clock.progress), int(batch.limit.max())
        noise = clock.uniform("roll-in", batch.row, steps)  # [B, T]
        if self.mixture == "step":
            coin = clock.uniform("coin", batch.row, steps)  # [B, T]
            return self.interleave(batch, beta, torch.stack([coin, noise], 2))
        one_coin = self.mixture == "batch"
        row = torch.zeros_like(batch.row) if one_coin else batch.row
        on_policy = clock.uniform("coin", row) >= beta  # [B]
        return with_rollouts(batch, on_policy, self.policy, noise, self.top_k), on_policy

    def imitate(self, batch: Batch, on_policy: Tensor, clock: Clock) -> Loss:
        """The loss on a mixed batch."""
        if self.labels == "distribution":
            top_k = self.label_top_k, self.tail
            loss = distillation_loss(self.policy, self.oracle, batch, cross_entropy, *top_k)
        else:
            rows = torch.ones_like(on_policy) if self.relabel_all else on_policy
            target = relabel(self.oracle, batch, rows)
            action = select_positions(target, batch.mask_cpu)  # [N]
            loss = clone(self.policy, batch, action, self.label_smoothing)
        loss.metrics = {
            **loss.metrics,
            "beta": self.beta(clock.progress),
            "on_policy": on_policy.float().mean().item(),
        }
        return loss

    def interleave(self, batch: Batch, beta: float, noise: Tensor) -> tuple[Batch, Tensor]:
        """Generate with the mixture of oracle and student.

        Args:
            batch: the sources and their limits.
            beta: probability that the oracle acts at a step.
            noise: ``[B, T, 2]``; the coin of each step, and the noise for sampling.

        Returns:
            As for ``roll_in``.
        """

        def choose(
            own: Tensor, expert: Tensor, _: None, noise: Tensor
        ) -> tuple[Tensor, Tensor, None]:
            by_expert = noise[:, 0] < beta  # [N]
            own_token = pick(own, noise[:, 1], self.top_k)
            return torch.where(by_expert, pick(expert), own_token), by_expert, None

        by_expert = noise[..., 0] < beta  # [B, T]
        needed = steps_until(~by_expert), steps_until(by_expert)
        generate = interleaved(self.policy, stepper(self.oracle, sampled=False), choose)
        mixed = generate(batch.source, batch.limit, noise, needed=needed)
        batch = batch.with_rows(torch.ones_like(batch.length, dtype=torch.bool), mixed.episodes)
        return batch, (batch.mask_cpu & ~mixed.expert.to(batch.length.device)).any(1)


def relabel(oracle: Oracle, batch: Batch, which: Tensor) -> Tensor:
    """Targets ``[B, T]`` with the oracle's actions in the rows ``which``, a CPU mask ``[B]``."""
    rows, target = batch.rows(which), batch.target.clone()
    if len(rows):
        action = oracle.action(*rows.states)
        target[which[:, None] & batch.mask_cpu] = action
    return target


NAMES = {
    "imitkd": partial(DAgger, labels="action", top_k=5),
    "imitkd_full": partial(DAgger, labels="distribution", top_k=1),
    "imitkd_star": partial(DAgger, labels="action", top_k=5, demonstrations="teacher"),
    "imitkd_star_full": partial(DAgger, labels="distribution", top_k=1, demonstrations="teacher"),
    "dagger": partial(DAgger, labels="action", top_k=1),
}
