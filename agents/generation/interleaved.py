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
from textgen_env.types import EOS, PAD, Oracle, Policy, Stepper, Trajectories

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


def interleaved(policy: Policy, oracle: Oracle, choose: Choose) -> Callable[..., Interleaved]:
    """A function that generates with ``policy`` and ``oracle`` together, as ``choose`` decides.

    Args:
        policy: the student, in evaluation mode meanwhile.
        oracle: the expert. It steps with its cache if it has ``start`` and ``step``, else it is queried about the whole
            prefix at every step.
        choose: ``(own, expert, memory, noise)`` → ``(token, acted, memory)``. ``own`` and ``expert`` are logits ``[N, V]``
            of student and expert, -inf for PAD and BOS; ``noise`` is this step's, ``[N, ...]``; ``memory`` is what the step
            before returned. Of the token ``[N]`` to generate, ``acted`` ``[N]`` says where it is the expert's.

    Returns:
        ``(source [B, S], limit, noise=None, memory=None)`` → ``Interleaved``. The limit is one number or int64 ``[B]``;
        noise is ``[B, T, ...]``; memory, a tensor, None, or a tuple or dict of them, has one row for each source, and loses
        those that have finished. No gradient flows.
    """
    expert = stepper(oracle)

    def generate(source: Tensor, limit: int | Tensor, noise: Tensor | None = None, memory: Any = None) -> Interleaved:
        limit, most = limits(source, limit)
        noise = None if noise is None else noise.to(source.device)
        acted = torch.zeros(len(source), most, dtype=torch.bool, device=source.device)

        def start() -> Any:
            return policy.start(source, most), expert.start(source, most), memory

        def step(token: Tensor, state: Any, row: Tensor, time: int) -> tuple[Tensor, Any]:
            student, teacher, memory = state
            own, student = policy.step(token, student)
            answer, teacher = expert.step(token, teacher)
            now = None if noise is None else noise[row, time]
            token, acted[row, time], memory = choose(_allowed(own), _allowed(answer), memory, now)
            return token, (student, teacher, memory)

        with acting(policy):
            episodes = roll(step, start, limit, most)
        count("decoded", int(episodes.length.sum()))
        return Interleaved(episodes, acted[:, : episodes.action.shape[1]] & (episodes.action != PAD))

    return generate


def stepper(oracle: Oracle) -> Stepper:
    """The expert's distribution step by step, for a decoder: cached if the oracle can."""
    cached: Any = oracle
    return cached if hasattr(oracle, "start") and hasattr(oracle, "step") else _Queried(oracle)


class _Queried:
    """An oracle that is queried about the whole prefix at every step. Its state: source ``[N, S]`` and prefix ``[N, t]``."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle

    def start(self, source: Tensor, limit: int) -> Any:
        return source, source[:, :0]

    def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]:
        source, prefix = state
        prefix = torch.cat([prefix, token[:, None]], 1)  # [N, t + 1]
        last = torch.zeros_like(prefix, dtype=torch.bool)
        last[:, -1] = True
        return self.oracle.log_probs(source, prefix, last), (source, prefix)


def _allowed(logits: Tensor) -> Tensor:
    """A copy in which PAD and BOS are impossible."""
    logits = logits.clone()
    logits[:, :EOS] = -torch.inf
    return logits
