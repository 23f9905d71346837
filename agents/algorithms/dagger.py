"""DAgger as ImitKD uses it (Lin et al. 2020, Algorithm 1): the data of an iteration replaces the one before."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from agents.algorithms import Algorithm, LossOutput
from agents.algorithms.schedules import beta as beta_schedule
from agents.generation.roll_in import Mixed, RollIn, packed, unpacked
from agents.losses.sequence import checked_smoothing, cloning, full
from textgen_env.errors import Range, check_range, unknown
from textgen_env.types import Batch, Oracle, Policy, picked

LABELS = ("action", "distribution")
RELABEL = ("student", "all")


class DAgger(Algorithm):
    """Roll in with a mixture of data and student, label with the oracle, clone the labels.

    A coin per sequence: with probability β the row keeps its training pair, else its target is what the current
    student writes for the source.  No gradient flows through the student's writing.  A coin per step is Ross et al. 2011's
    mixture π_i = βπ* + (1 - β)π: the oracle acts or the student does, and no training pair is kept.

    Args:
        labels: "action" (L_opt: rows the student wrote get the oracle's argmax, the others keep their tokens) or
            "distribution" (L_full: every row gets the oracle's distribution)
        beta: schedule of β over the training: exponential, linear, reverse_sigmoid or constant
        rate: the schedule's parameter; null: its kind's own (exponential 1/200 and linear 0, β at the end;
            reverse_sigmoid 0.1, its width; constant 1/2)
        top_k: the student writes greedily (1), by top-k sampling (k) or from its whole distribution (0)
        mixture: what a coin decides about: a step, a sequence (ImitKD) or the whole batch
        relabel: with labels=action, whose rows get the oracle's action: student (the paper's) or all
        label_top_k: with labels=distribution, the oracle's is cut to its k most probable tokens, renormalized; 0: whole
        demonstrations: the training pairs are references, the teacher's (ImitKD*) or the best_of_beam
        group: mini-batches whose roll-ins are written at once, by the student before the first of them (the paper: 4)
        label_smoothing: with labels=action, probability mass spread evenly over the vocabulary, in [0, 1); not read with
            labels=distribution
    """

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        generator: torch.Generator,
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
    ) -> None:
        for name, value, known in (("labels", labels, LABELS), ("relabel", relabel, RELABEL)):
            if value not in known:
                raise unknown(name, value, known)
        self.label_smoothing = checked_smoothing(label_smoothing)
        check_range("group", group, Range(1, 16_384))
        check_range("top_k", top_k, Range(0, policy.vocabulary_size))
        check_range("label_top_k", label_top_k, Range(0, policy.vocabulary_size))
        self.policy, self.oracle = policy, oracle
        self.labels, self.beta = labels, beta_schedule(beta, rate)
        self.roll_in = RollIn(policy, oracle, generator, mixture, top_k)
        self.relabel_all, self.label_top_k, self.demonstrations = relabel == "all", label_top_k, demonstrations
        self.group, self.ahead = group, list[Mixed]()

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """L_opt or L_full of Lin et al. 2020, section 3, on the mixture that β(progress) gives."""
        beta = self.beta(progress)
        batch, on_policy, decoded, asked = self.ahead.pop(0) if self.ahead else self.mix(batch, beta)
        figures: dict[str, float | Tensor] = {"beta": beta, "on_policy": on_policy.float().mean()}
        if self.labels == "distribution":
            loss, figures["kl"] = full(self.policy, self.oracle, batch, self.label_top_k)
            tokens = scored = batch.tokens
        else:
            target, scored = self.relabel(batch, torch.ones_like(on_policy) if self.relabel_all else on_policy)
            action = picked(target, batch.actual)  # [N]
            loss, tokens = cloning(self.policy, batch, action, self.label_smoothing), len(action)
        return LossOutput(loss, tokens, figures, decoded, asked + scored)

    def mix(self, batch: Batch, beta: float) -> Mixed:
        """Roll in for one mini-batch."""
        return self.roll_in([batch], [beta])[0]

    def look_ahead(self, batches: list[Batch], progress: list[float]) -> None:
        """Roll in for all of them."""
        self.ahead = self.roll_in(batches, [self.beta(each) for each in progress])

    def state_dict(self) -> dict[str, Tensor]:
        """The roll-ins that are written and not yet learned from."""
        return packed(self.ahead)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Put them back."""
        self.ahead = unpacked(state, next(self.policy.parameters()).device)

    def relabel(self, batch: Batch, which: Tensor) -> tuple[Tensor, int]:
        """Targets ``[B, T]``: the oracle's action at every prefix of the rows ``which``; and how many it was asked for.

        which ``[B]`` bool, on the processor.
        """
        rows = batch.rows(which)
        target = batch.target.clone()
        if len(rows):
            label = rows.target.clone()
            label[rows.actual] = self.oracle.action(rows.source, rows.prefix, rows.actual)
            target[which] = label
        return target, rows.tokens


NAMES = {
    "imitkd": partial(DAgger, labels="action", top_k=5),
    "imitkd_full": partial(DAgger, labels="distribution", top_k=1),
    "imitkd_star": partial(DAgger, labels="action", top_k=5, demonstrations="teacher"),
    "imitkd_star_full": partial(DAgger, labels="distribution", top_k=1, demonstrations="teacher"),
    "dagger": partial(DAgger, labels="action", top_k=1),
}
