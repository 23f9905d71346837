"""Generation in which an algorithm decides at every step who acts, the student or the expert.

DAgger with a coin per step, sampling from a mixture with the teacher, and handing over from student
to teacher are all of this kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.generation.decoding import decode_loop, row_limits
from agents.generation.rollout import eval_mode
from textgen_env.profiler import count
from textgen_env.types import EOS, LOG_ZERO, PAD, Oracle, Policy, Stepper, Trajectories

Choose = Callable[[Tensor, Tensor, Any, Any], tuple[Tensor, Tensor, Any]]


@dataclass(frozen=True)
class Interleaved:
    """What student and expert generated together.

    Attributes:
        episodes: B rows without scores.
        expert: ``[B, T]`` bool, the steps at which the expert acted.
    """

    episodes: Trajectories
    expert: Tensor


def interleaved(
    policy: Policy, oracle: Oracle | Stepper, choose: Choose
) -> Callable[..., Interleaved]:
    """A function that generates with ``policy`` and ``oracle``; ``choose`` decides who acts.

    Args:
        policy: the student; in eval mode while it generates.
        oracle: the expert. If ``choose`` never samples from it, pass
            ``stepper(oracle, sampled=False)``.
        choose: ``(own, expert, memory, noise)`` → ``(token, by_expert, memory)``. ``own`` and
            ``expert`` are the logits ``[N, V]`` of student and expert, -inf for PAD and BOS.
            ``memory`` is what the algorithm carries from step to step, such as who has control;
            it gets what it returned at the previous step. ``noise`` ``[N, ...]`` is this step's.
            ``token`` ``[N]`` is generated; ``by_expert`` ``[N]`` marks the tokens of the expert.

    Returns:
        ``generate(source [B, S], limit, noise=None, memory=None, needed=None)`` → ``Interleaved``,
        without a gradient. limit: one number or int64 ``[B]``. noise: ``[B, T, ...]``. memory: its
        value before the first step: a tensor, None, or a tuple or dict of them, one row per source;
        finished rows are dropped.
        needed: the number of steps at which ``choose`` uses the logits of the student and of the
        expert; afterwards it gets zeros and they are not stepped.
    """
    expert = stepper(oracle)

    def generate(
        source: Tensor,
        limit: int | Tensor,
        noise: Tensor | None = None,
        memory: Any = None,
        needed: tuple[int, int] | None = None,
    ) -> Interleaved:
        limit, max_new_tokens = row_limits(source, limit)
        student_steps, expert_steps = needed or (max_new_tokens, max_new_tokens)
        noise = None if noise is None else noise.to(source.device)
        by_expert = torch.zeros(len(source), max_new_tokens, dtype=torch.bool, device=source.device)

        def start() -> Any:
            student_state = policy.start(source, max_new_tokens) if student_steps else None
            expert_state = expert.start(source, max_new_tokens) if expert_steps else None
            return student_state, expert_state, memory

        def step(token: Tensor, state: Any, row: Tensor, time: int) -> tuple[Tensor, Any]:
            student_state, expert_state, memory = state
            zeros = torch.zeros(len(token), policy.vocabulary_size, device=token.device)
            own = expert_logits = zeros
            if time < student_steps:
                own, student_state = policy.step(token, student_state)
            if time < expert_steps:
                expert_logits, expert_state = expert.step(token, expert_state)
            now = None if noise is None else noise[row, time]
            token, by_expert[row, time], memory = choose(
                _without_pad_and_bos(own), _without_pad_and_bos(expert_logits), memory, now
            )
            return token, (student_state, expert_state, memory)

        with eval_mode(policy):
            episodes = decode_loop(step, start, limit, max_new_tokens)
        count("decoded", int(episodes.length.sum()))
        by_expert = by_expert[:, : episodes.action.shape[1]] & (episodes.action != PAD)
        return Interleaved(episodes, by_expert)

    return generate


def steps_until(needed: Tensor) -> int:
    """Number of steps up to the last True of bool ``[B, T]`` in any row; 0 if there is none."""
    return int(needed.any(0).nonzero().max()) + 1 if needed.any() else 0


def stepper(oracle: Oracle | Stepper, sampled: bool = True) -> Stepper:
    """The expert as a ``Stepper``, for a decoder.

    Args:
        oracle: returned unchanged if it has ``start`` and ``step``; otherwise queried about the
            whole prefix at every step.
        sampled: query the oracle for its distribution; False: for its action, which then has all
            the probability.
    """
    expert: Any = oracle
    if hasattr(oracle, "start") and hasattr(oracle, "step"):
        return expert
    return _UncachedStepper(expert, sampled)


class _UncachedStepper:
    """Queries an oracle about the whole prefix. The state: source ``[N, S]``, prefix ``[N, t]``."""

    def __init__(self, oracle: Oracle, sampled: bool) -> None:
        self.oracle, self.sampled = oracle, sampled

    def start(self, source: Tensor, limit: int) -> Any:
        return source, source[:, :0]

    def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]:
        source, prefix = state
        prefix = torch.cat([prefix, token[:, None]], 1)  # [N, t + 1]
        last = torch.zeros_like(prefix, dtype=torch.bool)
        last[:, -1] = True
        if self.sampled:
            return self.oracle.log_probs(source, prefix, last), (source, prefix)
        # PAD and BOS are never generated; EOS ends the row instead
        action = self.oracle.action(source, prefix, last).clamp(min=EOS)  # [N]
        shape = len(token), self.oracle.vocabulary_size
        logits = torch.full(shape, LOG_ZERO, device=action.device)
        return logits.scatter_(1, action[:, None], 0.0), (source, prefix)


def _without_pad_and_bos(logits: Tensor) -> Tensor:
    logits = logits.clone()
    logits[:, :EOS] = -torch.inf
    return logits
