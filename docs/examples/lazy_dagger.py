"""A new algorithm in one file: LazyDAgger (Hoque et al. 2021) for text.  It is registered nowhere:

PYTHONPATH=docs/examples python experiments/dagger.py env=Copy-v0 algorithm._target_=lazy_dagger.LazyDAgger algorithm.take=0.8
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from agents.algorithms import Algorithm, LossOutput
from agents.generation.decoding import greedy, writable
from agents.generation.mixture import certain, stepper
from agents.generation.rollout import acting
from agents.losses.sequence import nll
from textgen_env.errors import UserError
from textgen_env.types import EOS, Batch, DecodeState, Oracle, Policy


class LazyDAgger(Algorithm):
    """The student writes until it would deviate; then the expert does, until the student has caught up with it.

    DAgger without a schedule of β: who acts is decided at every step by the discrepancy, the probability that the student
    does not give to the expert's action.  Two thresholds instead of one keep control from going back and forth (Hoque,
    Balakrishna et al., LazyDAgger, CASE 2021; one threshold: SafeDAgger, Zhang & Cho, AAAI 2017).  The expert's answers of the
    roll-in are the labels.  Other than theirs, who must spare a person, it asks the expert at every step instead of predicting
    the discrepancy, learns from every state, and adds no noise to the expert's actions.

    Args:
        take: the expert takes over where the discrepancy is larger than this
        give: the expert gives control back where it is at most this; at most ``take``
    """

    def __init__(self, policy: Policy, oracle: Oracle, take: float = 0.9, give: float = 0.5) -> None:
        if not 0 <= give <= take <= 1:
            raise UserError(f"give={give} take={take}: 0 ≤ give ≤ take ≤ 1")
        self.policy, self.oracle, self.take, self.give = policy, oracle, take, give

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """NLL of what the expert would have done, at every state of the roll-in."""
        pair, before = Pair(self.policy, self.oracle, self.take, self.give, batch.limit), self.oracle.queries
        with acting(self.policy):
            written = greedy(pair, batch.source, batch.limit)
        batch = batch.with_rows(torch.ones_like(batch.length, dtype=torch.bool), written)
        mask = batch.mask  # [B, T]
        logits = self.policy(batch.source, batch.prefix, mask)  # [N, V]
        control, label = (part[:, : mask.shape[1]].to(mask.device) for part in (pair.control, pair.label))  # [B, T] each
        switches = (control[:, 1:] != control[:, :-1]) & mask[:, 1:]  # [B, T - 1]
        figures = {"expert": control[mask].float().mean().item(), "switches": switches.sum().item() / len(batch)}
        return LossOutput(nll(logits, label[mask]), len(logits), figures, batch.tokens, self.oracle.queries - before)


class Pair:
    """Student and expert as one writer for ``agents.generation.decoding``: the logits are those of whoever has control.

    control ``[B, T]`` bool: the expert had it.  label ``[B, T]``: what the expert would have done.  Filled in by the steps, at
    most ``limit`` ``[B]`` in each row.
    """

    def __init__(self, policy: Policy, oracle: Oracle, take: float, give: float, limit: Tensor) -> None:
        self.policy, self.expert, self.take, self.give = policy, stepper(oracle), take, give
        self.control = torch.zeros(len(limit), int(limit.max()), dtype=torch.bool)
        self.label = torch.full(self.control.shape, EOS)

    def start(self, source: Tensor, steps: int) -> State:
        row = torch.arange(len(source), device=source.device)
        return State(0, row, row < 0, self.policy.start(source, steps), self.expert.start(source, steps))

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """The last token ``[N]`` → the logits ``[N, V]`` of whoever has control, and the state after it."""
        own, student = self.policy.step(token, state.student)  # [N, V]
        answer, expert = self.expert.step(token, state.expert)
        label = writable(answer).argmax(-1)  # [N]
        discrepancy = 1 - own.float().softmax(-1).gather(1, label[:, None])  # [N, 1]
        control = torch.where(state.control, discrepancy[:, 0] > self.give, discrepancy[:, 0] > self.take)  # [N]
        self.control[state.row.cpu(), state.time], self.label[state.row.cpu(), state.time] = control.cpu(), label.cpu()
        logits = torch.where(control[:, None], certain(label, own.shape[1]), own)
        return logits, replace(state, time=state.time + 1, control=control, student=student, expert=expert)


@dataclass(frozen=True, slots=True)
class State:
    """A decode after ``time`` steps.  row ``[N]``: which rows are still there.  control ``[N]`` bool: the expert has it."""

    time: int
    row: Tensor
    control: Tensor
    student: DecodeState
    expert: DecodeState

    def select(self, index: Tensor) -> State:
        rows, control = self.row[index], self.control[index]
        return State(self.time, rows, control, self.student.select(index), self.expert.select(index))
