"""What every policy can do: score whole sequences at once, and take one cached step at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, Self

import torch
from torch import Tensor, nn


class DecodeState(Protocol):
    """What a policy remembers between two steps of one decode; opaque to the decoder."""

    def select(self, index: Tensor) -> Self:
        """Keep or reorder rows: ``index`` ``[B']`` int64 into the current rows.  Drops finished rows, follows beams.

        What is selected may share memory with this state, which must not be used again.
        """
        ...


class Stepper(Protocol):
    """What a decoder needs: to encode a source, then one cached step at a time."""

    def start(self, source: Tensor, steps: int) -> DecodeState:
        """Encode ``source`` ``[B, S]`` once and make room for ``steps`` steps."""
        ...

    def step(self, token: Tensor, state: DecodeState) -> tuple[Tensor, DecodeState]:
        """One step: the last token ``[B]`` → next-token logits ``[B, V]`` and the state after it."""
        ...


class Policy(Stepper, Protocol):
    """π(a | s), s = (source, prefix).  Identities every policy keeps: cached = uncached, batched = single, padded = unpadded.

    PAD may fill the end of ``source`` and is never attended to; what stands in ``prefix`` after a row's end never
    changes the logits before it.
    """

    vocabulary_size: int
    feature_width: int
    generator: torch.Generator  # of its dropout; the trainer saves its state
    training: bool

    def train(self, mode: bool = True) -> Self:
        """As nn.Module: every policy is one."""
        ...

    def modules(self) -> Iterator[nn.Module]:
        """As nn.Module."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """As nn.Module."""
        ...

    def __call__(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Next-token logits at every prefix, in one pass (teacher forcing).

        source ``[B, S]``, prefix ``[B, T]`` (BOS first) → ``[B, T, V]``; with a bool ``mask`` ``[B, T]``, there or
        on the processor, only the positions where it is True, in row-major order: ``[N, V]``.
        """
        ...

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the output layer reads, and a critic may: ``[B, T, feature_width]``, or ``[N, feature_width]`` with a mask."""
        ...

    def logits(self, features: Tensor) -> Tensor:
        """The output layer: ``logits(features(…))`` is what calling the policy gives."""
        ...
