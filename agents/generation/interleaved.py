"""Generation where something decides at every step who acts, the student or the expert.

DAgger's coin at every step, sampling from a mixture with the teacher and taking over from the student are all of this kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.generation.decoding import limits, roll
from agents.generation.rollout import acting
from textgen_env.profiler import count
from textgen_env.types import EOS, LOG_ZERO, PAD, Oracle, Policy, Stepper, Trajectories

Choose = Callable[[Tensor, Tensor, Any, Any], tuple[Tensor, Tensor, Any]]


@dataclass(frozen=True)
class Interleaved:
    """What student and expert generated together.

    Attributes:
        episodes: B rows; no scores.
        expert: ``[B, T]`` bool, the steps at which the expert acted.
    """

    episodes: Trajectories
    expert: Tensor


def interleaved(
    policy: Policy, oracle: Oracle | Stepper, choose: Choose
) -> Callable[..., Interleaved]:
    """A function that generates with ``policy`` and ``oracle`` together, as ``choose`` decides.

    Args:
        policy: the student, in evaluation mode meanwhile.
        oracle: the expert, as ``stepper`` takes it; where it acts and is not sampled from, ``stepper(oracle, draws=False)``.
        choose: ``(own, expert, memory, noise)`` → ``(token, acted, memory)``. ``own`` and ``expert`` are logits ``[N, V]``
            of student and expert, -inf for PAD and BOS; ``noise`` is this step's, ``[N, ...]``; ``memory`` is what the step
            before returned. Of the token ``[N]`` to generate, ``acted`` ``[N]`` says where it is the expert's.

    Returns:
        ``(source [B, S], limit, noise=None, memory=None, needed=None)`` → ``Interleaved``. The limit is one number or int64
        ``[B]``; noise is ``[B, T, ...]``; memory, a tensor, None, or a tuple or dict of them, has one row for each source,
        and loses those that have finished; ``needed``: for how many steps ``choose`` needs the student and the expert,
        after which it gets zeros for their logits and they do not step. No gradient flows.
    """
    expert = stepper(oracle)

    def generate(
        source: Tensor,
        limit: int | Tensor,
        noise: Tensor | None = None,
        memory: Any = None,
        needed: tuple[int, int] | None = None,
    ) -> Interleaved:
        limit, most = limits(source, limit)
        student_steps, expert_steps = needed or (most, most)
        noise = None if noise is None else noise.to(source.device)
        acted = torch.zeros(len(source), most, dtype=torch.bool, device=source.device)

        def start() -> Any:
            student = policy.start(source, most) if student_steps else None
            return student, expert.start(source, most) if expert_steps else None, memory

        def step(token: Tensor, state: Any, row: Tensor, time: int) -> tuple[Tensor, Any]:
            student, teacher, memory = state
            own = answer = torch.zeros(len(token), policy.vocabulary_size, device=token.device)
            if time < student_steps:
                own, student = policy.step(token, student)
            if time < expert_steps:
                answer, teacher = expert.step(token, teacher)
            now = None if noise is None else noise[row, time]
            token, acted[row, time], memory = choose(_allowed(own), _allowed(answer), memory, now)
            return token, (student, teacher, memory)

        with acting(policy):
            episodes = roll(step, start, limit, most)
        count("decoded", int(episodes.length.sum()))
        return Interleaved(
            episodes, acted[:, : episodes.action.shape[1]] & (episodes.action != PAD)
        )

    return generate


def steps_until(needed: Tensor) -> int:
    """The number of steps to the last one at which a row of ``needed``, bool ``[B, T]``, is True; 0 where none is."""
    return int(needed.any(0).nonzero().max()) + 1 if needed.any() else 0


def stepper(oracle: Oracle | Stepper, draws: bool = True) -> Stepper:
    """The expert step by step, for a decoder.

    Args:
        oracle: with ``start`` and ``step`` it is returned as it is; without, it is queried about the whole prefix at every
            step.
        draws: such a query is for its distribution; False: for its action, and the logits are certain of it.
    """
    expert: Any = oracle
    return (
        expert if hasattr(oracle, "start") and hasattr(oracle, "step") else _Queried(expert, draws)
    )


class _Queried:
    """An oracle that is queried about the whole prefix at every step. Its state: source ``[N, S]`` and prefix ``[N, t]``."""

    def __init__(self, oracle: Oracle, draws: bool) -> None:
        self.oracle, self.draws = oracle, draws

    def start(self, source: Tensor, limit: int) -> Any:
        return source, source[:, :0]

    def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]:
        source, prefix = state
        prefix = torch.cat([prefix, token[:, None]], 1)  # [N, t + 1]
        last = torch.zeros_like(prefix, dtype=torch.bool)
        last[:, -1] = True
        if self.draws:
            return self.oracle.log_probs(source, prefix, last), (source, prefix)
        action = self.oracle.action(source, prefix, last).clamp(
            min=EOS
        )  # [N]; PAD and BOS, never generated, end the row
        logits = torch.full(
            (len(token), self.oracle.vocabulary_size), LOG_ZERO, device=action.device
        )
        return logits.scatter_(1, action[:, None], 0.0), (source, prefix)


def _allowed(logits: Tensor) -> Tensor:
    """A copy in which PAD and BOS are impossible."""
    logits = logits.clone()
    logits[:, :EOS] = -torch.inf
    return logits
