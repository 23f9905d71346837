"""Experts made of other experts: one that slips, and one that remembers.  Conventions are those of ``oracle``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from hashlib import blake2b

import torch
from torch import Tensor

from textgen_env.errors import Range, check_range
from textgen_env.oracles.oracle import LOG_ZERO, source_key
from textgen_env.types import EOS, PAD, Oracle, Trajectories, shift


class NoisyOracle:
    """With probability ``epsilon`` at every state a uniformly random token instead of the oracle's action.

    ``log_probs`` is the mixture that this amounts to: (1 - ε) π* + ε / V.
    """

    def __init__(self, oracle: Oracle, epsilon: float, generator: torch.Generator) -> None:
        check_range("epsilon", epsilon, Range(0, 1))
        self.oracle, self.epsilon, self.generator = oracle, epsilon, generator
        self.vocabulary_size = oracle.vocabulary_size

    @property
    def queries(self) -> int:
        return self.oracle.queries

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        clean = self.oracle.log_probs(source, prefix, mask)
        return clean.exp().mul(1 - self.epsilon).add(self.epsilon / self.vocabulary_size).log().clamp(min=LOG_ZERO)

    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        clean = self.oracle.action(source, prefix, mask)
        slip = torch.rand(clean.shape, generator=self.generator) < self.epsilon
        anything = torch.randint(self.vocabulary_size, clean.shape, generator=self.generator)
        return torch.where(slip.to(clean.device), anything.to(clean.device), clean)

    def demonstrate(self, source: Tensor, steps: int | Tensor) -> Trajectories:
        return follow(self, source, steps)


class CachedOracle:
    """Remembers answers state by state, so that asking again costs no query; forgets the longest unused beyond ``max_bytes``.

    Answers are the wrapped oracle's own, to the bit.  hits: positions answered from memory; queries: those that were not.
    """

    ENTRY_BYTES = 250  # Python's own cost of an entry: key, tensor object, links

    def __init__(self, oracle: Oracle, max_bytes: int = 256 << 20) -> None:
        check_range("max_bytes", max_bytes, Range(0, 2**63 - 1))
        self.oracle, self.max_bytes = oracle, max_bytes
        self.vocabulary_size = oracle.vocabulary_size
        self.hits, self.bytes = 0, 0
        self._answers: OrderedDict[bytes, Tensor] = OrderedDict()

    @property
    def queries(self) -> int:
        return self.oracle.queries

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._ask(self.oracle.log_probs, b"log_probs", source, prefix, mask)

    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._ask(self.oracle.action, b"action", source, prefix, mask)

    def demonstrate(self, source: Tensor, steps: int | Tensor) -> Trajectories:
        return self.oracle.demonstrate(source, steps)

    def _ask(self, ask: Callable[..., Tensor], kind: bytes, source: Tensor, prefix: Tensor, mask: Tensor | None) -> Tensor:
        wanted = torch.ones_like(prefix, dtype=torch.bool) if mask is None else mask  # [B, T]
        keys = list(_state_keys(kind, source, prefix, wanted))
        if not keys:
            return ask(source, prefix, mask)
        answers = {key: self._answers[key] for key in keys if key in self._answers}
        self.hits += sum(key in answers for key in keys)
        missing = torch.tensor([key not in answers for key in keys], dtype=torch.bool, device=wanted.device)  # [N]
        if missing.any():
            asked = wanted.clone()
            asked[wanted] = missing
            rows = asked.any(dim=1)
            fresh = ask(source[rows], prefix[rows], asked[rows]).cpu()  # [M, V] or [M]
            answers |= zip([key for key in keys if key not in answers], fresh.unbind(), strict=True)
        answer = torch.stack([answers[key] for key in keys]).to(prefix.device)  # [N, V] or [N]
        self._remember(answers)
        return answer if mask is not None else answer.view(*prefix.shape, *answer.shape[1:])  # [B, T, V] or [B, T]

    def _remember(self, answers: dict[bytes, Tensor]) -> None:
        for key, answer in answers.items():
            if key not in self._answers:
                self._answers[key] = answer.clone()  # a view would keep its whole batch alive
                self.bytes += answer.nbytes + self.ENTRY_BYTES
            self._answers.move_to_end(key)
        while self.bytes > self.max_bytes:
            _, forgotten = self._answers.popitem(last=False)
            self.bytes -= forgotten.nbytes + self.ENTRY_BYTES


def follow(oracle: Oracle, source: Tensor, steps: int | Tensor) -> Trajectories:
    """What comes of obeying the oracle for at most ``steps`` actions (a number, or ``[B]``).  Two queries an action.

    The score is under the oracle's distribution.
    """
    limit = torch.as_tensor(steps, device=source.device).expand(len(source))  # [B]
    most = int(limit.max())
    action = torch.full((len(source), most), PAD, device=source.device)
    score = torch.zeros(len(source), device=source.device)
    length = torch.zeros_like(action[:, 0])
    rows = torch.arange(len(source), device=source.device)  # still writing
    for step in range(most):
        prefix = shift(action[rows, : step + 1])
        mask = torch.zeros_like(prefix, dtype=torch.bool)
        mask[:, -1] = True
        token = oracle.action(source[rows], prefix, mask)
        score[rows] += oracle.log_probs(source[rows], prefix, mask).gather(1, token[:, None])[:, 0]
        action[rows, step] = token
        length[rows] = step + 1
        rows = rows[(token != EOS) & (limit[rows] > step + 1)]
        if not len(rows):
            break
    return Trajectories(action[:, : int(length.max())], length, score)


def _state_keys(kind: bytes, source: Tensor, prefix: Tensor, wanted: Tensor) -> Iterator[bytes]:
    """One key a wanted position, row-major: a digest of the source without padding and of the prefix up to there."""
    for tokens, before, flags in zip(source.cpu().numpy(), prefix.cpu().numpy(), wanted.cpu().numpy(), strict=True):
        key = source_key(tokens)
        state = blake2b(kind + len(key).to_bytes(4, "little") + key, digest_size=16)
        for token, flag in zip(before, flags, strict=True):
            state.update(token.tobytes())
            if flag:
                yield state.copy().digest()
