"""A trained teacher as an oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from textgen_env.chunks import row_chunks
from textgen_env.data.vocabulary import Vocabulary, check_vocabulary
from textgen_env.errors import Range, check_range
from textgen_env.profiler import phase
from textgen_env.types import LOG_ZERO, Trajectories


class PolicyOracle:
    """An expert that acts like a policy, evaluated in eval mode and without gradients.

    Args:
        policy: the teacher
        decode: ``(policy, source, limit) → Trajectories``, generates demonstrations, for example
            with beam search
        vocabulary: the teacher's vocabulary
        student: the student's vocabulary; both must map every id to the same token
        top_k: keep the k most likely tokens, renormalized; every other gets ``LOG_ZERO``

    Raises:
        UserError: the vocabularies differ, or ``top_k`` is out of range.
    """

    def __init__(
        self,
        policy: nn.Module,
        decode: Callable[[nn.Module, Tensor, int | Tensor], Trajectories],
        vocabulary: Vocabulary,
        student: Vocabulary,
        top_k: int | None = None,
    ) -> None:
        check_vocabulary(vocabulary, student)
        if top_k is not None:
            check_range("top_k", top_k, Range(1, len(vocabulary)))
        self.policy: Any = policy
        self.decode, self.top_k = decode, top_k
        self.vocabulary_size = len(vocabulary)
        self.queries = 0

    @phase("teacher")
    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Oracle.log_probs``."""
        logits = self._logits(source, prefix, mask)
        return keep_top_k(logits.log_softmax(-1, dtype=torch.float32), self.top_k or 0)

    @phase("teacher")
    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Oracle.action``: the argmax, in chunks."""
        selected = torch.ones_like(prefix, dtype=torch.bool) if mask is None else mask  # [B, T]
        split = row_chunks(selected.sum(1), self.vocabulary_size, prefix.device)
        queries = ((source[rows], prefix[rows], selected[rows]) for rows, _ in split)
        action = torch.cat([self._logits(*query).argmax(-1) for query in queries])  # [N]
        return action.view(prefix.shape) if mask is None else action

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """See ``Oracle.demonstrate``: generated with ``decode``."""
        with _eval_mode(self.policy) as device:
            trajectories = self.decode(self.policy, source.to(device), limit)
        self.queries += int(trajectories.length.sum())
        return trajectories

    def start(self, source: Tensor, limit: int) -> Any:
        """Start a cached decode, for ``step``."""
        with _eval_mode(self.policy) as device:
            return self.policy.start(source.to(device), limit)

    @phase("teacher")
    def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Feed the last token ``[B]``; return logits ``[B, V]``, after ``top_k``, and the state."""
        self.queries += len(token)
        with _eval_mode(self.policy):
            logits, state = self.policy.step(token, state)
        if self.top_k:
            logits = keep_top_k(logits.log_softmax(-1, dtype=torch.float32), self.top_k)
        return logits, state

    def _logits(self, source: Tensor, prefix: Tensor, mask: Tensor | None) -> Tensor:
        self.queries += prefix.numel() if mask is None else int(mask.sum())
        with _eval_mode(self.policy) as device:
            mask = mask if mask is None or mask.device.type == "cpu" else mask.to(device)
            return self.policy(source.to(device), prefix.to(device), mask)


def keep_top_k(log_probs: Tensor, k: int) -> Tensor:
    """Renormalize the k largest of ``[…, V]`` and set the others to ``LOG_ZERO``; 0 keeps all."""
    if not 0 < k < log_probs.shape[-1]:
        return log_probs
    top, index = log_probs.topk(k, dim=-1)
    return torch.full_like(log_probs, LOG_ZERO).scatter_(-1, index, top.log_softmax(dim=-1))


@contextmanager
def _eval_mode(policy: nn.Module) -> Iterator[torch.device]:
    """Eval mode without gradients, then the previous mode; yields the policy's device."""
    training = policy.training
    policy.eval()
    try:
        with torch.no_grad(), phase("teacher"):
            yield next((parameter.device for parameter in policy.parameters()), torch.device("cpu"))
    finally:
        policy.train(training)
