"""An oracle that caches its answers."""

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
    """Caches answers per state, so that repeated queries are free.

    Answers are bitwise equal to the wrapped oracle's. ``hits`` counts positions answered from the
    cache, ``queries`` those that were not. Demonstrations are not cached.

    Args:
        oracle: the oracle to wrap
        max_bytes: size of the cache; beyond it, the least recently used answers are evicted
    """

    ENTRY_BYTES = 250  # Python's overhead per entry: key, tensor object, links

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
        """Number of positions that the wrapped oracle has answered."""
        return self.oracle.queries

    @property
    def bytes(self) -> int:
        """Current size of the cache."""
        return int(self._answers.currsize)

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Oracle.log_probs``."""
        return self._query(self.oracle.log_probs, source, prefix, mask)

    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Oracle.action``."""
        return self._query(self.oracle.action, source, prefix, mask)

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """See ``Oracle.demonstrate``."""
        return self.oracle.demonstrate(source, limit)

    def _query(
        self, method: Callable[..., Tensor], source: Tensor, prefix: Tensor, mask: Tensor | None
    ) -> Tensor:
        selected = torch.ones_like(prefix, dtype=torch.bool) if mask is None else mask  # [B, T]
        keys = list(_state_keys(method.__name__, source, prefix, selected))
        if not keys:
            return method(source, prefix, mask)
        answers = {key: self._answers[key] for key in keys if key in self._answers}
        self.hits += sum(key in answers for key in keys)
        missing = torch.tensor([key not in answers for key in keys], device=selected.device)  # [N]
        if missing.any():
            missing_mask = torch.zeros_like(selected).masked_scatter_(selected, missing)
            rows = missing_mask.any(dim=1)
            new = method(source[rows], prefix[rows], missing_mask[rows]).cpu()  # [M, V] or [M]
            answers |= zip([key for key in keys if key not in answers], new.unbind(), strict=True)
        answer = torch.stack([answers[key] for key in keys]).to(prefix.device)  # [N, V] or [N]
        for key, entry in answers.items():
            if key not in self._answers:
                with suppress(ValueError):  # larger than the whole cache
                    self._answers[key] = entry.clone()  # a view would keep its whole batch alive
        if mask is not None:
            return answer
        return answer.view(*prefix.shape, *answer.shape[1:])  # [B, T, V] or [B, T]


def _state_keys(method: str, source: Tensor, prefix: Tensor, mask: Tensor) -> Iterator[bytes]:
    """A digest of each selected state: the source without padding and the prefix up to there."""
    arrays = (x.cpu().numpy() for x in (source, prefix, mask))
    for source_row, prefix_row, mask_row in zip(*arrays, strict=True):
        key = source_key(source_row)
        digest = blake2b(method.encode() + len(key).to_bytes(4, "little") + key, digest_size=16)
        for token, selected in zip(prefix_row, mask_row, strict=True):
            digest.update(token.tobytes())
            if selected:
                yield digest.copy().digest()
