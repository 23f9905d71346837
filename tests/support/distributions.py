"""Watches what is computed over the vocabulary: how many rows at once, and how long it lives."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Distributions(TorchDispatchMode):
    """While it is entered, all tensors ``[..., V]`` are known as long as they exist.

    Attributes:
        rows: the number of rows of each call of a watched head, but for decoding steps.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.shape = policy.feature_width, policy.vocabulary_size
        self.storages: list[StorageWeakRef] = []
        self.rows: list[int] = []
        self.decoding = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor) and self.is_distribution(tensor):
                self.storages.append(StorageWeakRef(tensor.untyped_storage()))
        return output

    def is_distribution(self, tensor: Tensor) -> bool:
        """Whether it is ``[…, V]`` and no weight."""
        width, vocabulary_size = self.shape
        ends_with_v = tensor.dim() > 1 and tensor.shape[-1] == vocabulary_size
        return ends_with_v and tensor.shape[0] != width

    @property
    def alive(self) -> int:
        """The number of tensors that still exist."""
        if any(not storage.expired() for storage in self.storages):
            gc.collect()
        self.storages = [storage for storage in self.storages if not storage.expired()]
        return len(self.storages)

    def watch(self, policy: Any, patch: pytest.MonkeyPatch, first: bool = False) -> None:
        """Record the calls of ``policy.head``, but for those of ``policy.step``.

        Args:
            policy: a policy.
            patch: undoes it.
            first: whether it is the first to compute anything for a chunk: then no distribution
                of the chunk before may still exist.
        """
        head, step = policy.head, policy.step

        def watched_head(features: Tensor) -> Tensor:
            if not self.decoding:
                assert not (first and self.alive)
                self.rows.append(features[..., 0].numel())
            return head(features)

        def watched_step(token: Tensor, state: Any) -> Any:
            self.decoding = True
            output = step(token, state)
            self.decoding = False
            return output

        patch.setattr(policy, "head", watched_head)
        patch.setattr(policy, "step", watched_step)
