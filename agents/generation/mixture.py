"""Two writers, one text: at every step a plan says whose action is taken, the student's, the expert's or a given one.

Roll-ins and roll-outs of imitation learning are all of this kind (Ross et al. 2011; Ross & Bagnell 2014; Chang et al. 2015).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from agents.generation.decoding import greedy, sample, writable
from agents.generation.rollout import acting
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.types import EOS, LOG_ZERO, PAD, DecodeState, Oracle, Policy, Stepper, Trajectories


def mixed(mixture: Mixture, source: Tensor, steps: int | Tensor, noise: Tensor | None = None, top_k: int = 0) -> Trajectories:
    """Episodes for ``source`` ``[B, S]`` of at most ``steps`` actions, which its plan covers; the rest as in ``rollout``."""
    writer: Any = mixture
    with acting(mixture.policy):
        if noise is None or top_k == 1:
            return greedy(writer, source, steps, scored=False)
        return sample(writer, source, steps, noise, top_k=top_k, scored=False)


class Mixture:
    """What ``agents.generation.decoding`` steps: its logits are the student's, the expert's, or certainty about a given token.

    expert ``[B, T]`` bool: the steps that are the expert's.  given ``[B, T]``: tokens that are written as they are, PAD where
    there is none.  draws: the expert draws from its distribution, as a decoder that samples will, and does not just act.
    A trained teacher steps with its cache; any other oracle is asked about the whole prefix.  Either is spared the steps
    after its last one.
    """

    def __init__(
        self, policy: Policy, oracle: Oracle, expert: Tensor, given: Tensor | None = None, draws: bool = False
    ) -> None:
        self.policy, self.draws, self.vocabulary_size = policy, draws, policy.vocabulary_size
        self.expert, self.given = expert, torch.full_like(expert, PAD, dtype=torch.int64) if given is None else given
        free = self.given == PAD  # [B, T]
        self.student_steps, self.teacher_steps = _last(free & ~expert), _last(free & expert)
        self.student: Stepper = policy if self.student_steps else _Idle()
        self.teacher: Stepper = stepper(oracle, draws) if self.teacher_steps else _Idle()

    def start(self, source: Tensor, steps: int) -> State:
        """Both writers at the beginning of ``source`` ``[B, S]``."""
        row = torch.arange(len(source), device=source.device)
        return State(0, row, self.student.start(source, steps), self.teacher.start(source, steps))

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of both for ``token`` ``[N]`` → ``[N, V]``."""
        time, student, teacher = state.time, state.student, state.teacher
        expert, given = self.expert[state.row, time, None], self.given[state.row, time, None]  # [N, 1] each
        logits = certain(given[:, 0], self.vocabulary_size)
        if time < self.student_steps:
            own, student = self.student.step(token, student)
            logits = torch.where((given == PAD) & ~expert, own, logits)
        if time < self.teacher_steps:
            answer, teacher = self.teacher.step(token, teacher)
            answer = answer if self.draws else certain(writable(answer).argmax(-1), self.vocabulary_size)
            logits = torch.where((given == PAD) & expert, answer, logits)
        return logits, replace(state, time=time + 1, student=student, teacher=teacher)


@dataclass(frozen=True, slots=True)
class State:
    """A decode after ``time`` steps.  row ``[N]``: which rows of the plan are still there."""

    time: int
    row: Tensor
    student: DecodeState
    teacher: DecodeState

    def select(self, index: Tensor) -> State:
        """Rows ``index``."""
        return State(self.time, self.row[index], self.student.select(index), self.teacher.select(index))


def stepper(oracle: Oracle, draws: bool = False) -> Stepper:
    """Any oracle, asked step by step: its logits are certain of its action, or if it ``draws`` those of its distribution.

    A trained teacher's are those of its distribution in either case.
    """
    made: Any = oracle if isinstance(oracle, PolicyOracle) else _Asked(oracle, draws)
    return made


class _Idle:
    """Who has no step to take."""

    def start(self, source: Tensor, steps: int) -> _Idle:
        return self

    def step(self, token: Tensor, state: DecodeState) -> tuple[Tensor, DecodeState]:
        raise AssertionError("an idle writer was asked to write")

    def select(self, index: Tensor) -> _Idle:
        return self


class _Asked:
    """Any oracle, step by step: it is asked about the whole prefix each time."""

    def __init__(self, oracle: Oracle, draws: bool) -> None:
        self.oracle, self.draws = oracle, draws

    def start(self, source: Tensor, steps: int) -> _Prefix:
        return _Prefix(source, source[:, :0])

    def step(self, token: Tensor, state: _Prefix) -> tuple[Tensor, _Prefix]:
        prefix = torch.cat([state.prefix, token[:, None]], 1)  # [N, t + 1]
        now = torch.zeros_like(prefix, dtype=torch.bool)
        now[:, -1] = True
        if self.draws:
            answer = self.oracle.log_probs(state.source, prefix, now)  # [N, V]
        else:
            answer = certain(self.oracle.action(state.source, prefix, now), self.oracle.vocabulary_size)
        return answer, replace(state, prefix=prefix)


@dataclass(frozen=True, slots=True)
class _Prefix:
    source: Tensor
    prefix: Tensor

    def select(self, index: Tensor) -> _Prefix:
        return _Prefix(self.source[index], self.prefix[index])


def certain(token: Tensor, vocabulary_size: int) -> Tensor:
    """Logits ``[N, V]`` that leave no doubt about ``token`` ``[N]``; PAD and BOS, which are never written, count as EOS."""
    token = token.clamp(min=EOS)
    logits = torch.full((len(token), vocabulary_size), LOG_ZERO, device=token.device)
    return logits.scatter_(1, token[:, None], 0.0)


def _last(steps: Tensor) -> int:
    """One more than the last column of ``steps`` ``[B, T]`` with a True in it."""
    return int(steps.any(0).nonzero().max()) + 1 if steps.any() else 0
