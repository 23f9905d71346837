"""An expert that remembers its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b

import torch
from cachetools import LRUCache
from torch import Tensor

from textgen_env.errors import Range, check_range
from textgen_env.oracles.references import source_key
from textgen_env.types import Oracle, Trajectories


class CachedOracle:
    """Remembers answers state by state, so that a repeated question costs no query.

    Answers are the wrapped oracle's own, to the bit.  Beyond ``max_bytes`` the least recently used go.
    ``hits``: positions answered from memory; ``queries``: those that were not.
    """

    ENTRY_BYTES = 250  # Python's own cost of an entry: key, tensor object, links

    def __init__(self, oracle: Oracle, max_bytes: int = 256 << 20) -> None:
        check_range("max_bytes", max_bytes, Range(0, 2**63 - 1))
        self.oracle = oracle
        self.vocabulary_size = oracle.vocabulary_size
        self.hits = 0
        self._answers: LRUCache[bytes, Tensor] = LRUCache(
            max_bytes, lambda answer: answer.nbytes + self.ENTRY_BYTES
        )

    @property
    def queries(self) -> int:
        return self.oracle.queries

    @property
    def bytes(self) -> int:
        return int(self._answers.currsize)

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._query(self.oracle.log_probs, source, prefix, mask)

    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._query(self.oracle.action, source, prefix, mask)

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        return self.oracle.demonstrate(source, limit)

    def _query(
        self, query: Callable[..., Tensor], source: Tensor, prefix: Tensor, mask: Tensor | None
    ) -> Tensor:
        wanted = torch.ones_like(prefix, dtype=torch.bool) if mask is None else mask  # [B, T]
        keys = list(_state_keys(query.__name__, source, prefix, wanted))
        if not keys:
            return query(source, prefix, mask)
        answers = {key: self._answers[key] for key in keys if key in self._answers}
        self.hits += sum(key in answers for key in keys)
        missing = torch.tensor(
            [key not in answers for key in keys], dtype=torch.bool, device=wanted.device
        )  # [N]
        if missing.any():
            unknown = torch.zeros_like(wanted).masked_scatter_(wanted, missing)
            rows = unknown.any(dim=1)
            fresh = query(source[rows], prefix[rows], unknown[rows]).cpu()  # [M, V] or [M]
            answers |= zip([key for key in keys if key not in answers], fresh.unbind(), strict=True)
        answer = torch.stack([answers[key] for key in keys]).to(prefix.device)  # [N, V] or [N]
        for key, entry in answers.items():
            if key not in self._answers:
                with suppress(ValueError):  # larger than the whole cache
                    self._answers[key] = entry.clone()  # a view would keep its whole batch alive
        return (
            answer if mask is not None else answer.view(*prefix.shape, *answer.shape[1:])
        )  # [B, T, V] or [B, T]


def _state_keys(kind: str, source: Tensor, prefix: Tensor, wanted: Tensor) -> Iterator[bytes]:
    """One key a wanted position, row-major: a digest of the source without padding and of the prefix up to there."""
    for tokens, before, flags in zip(
        source.cpu().numpy(), prefix.cpu().numpy(), wanted.cpu().numpy(), strict=True
    ):
        key = source_key(tokens)
        state = blake2b(kind.encode() + len(key).to_bytes(4, "little") + key, digest_size=16)
        for token, flag in zip(before, flags, strict=True):
            state.update(token.tobytes())
            if flag:
                yield state.copy().digest()
