"""Special tokens, the ``Batch`` and ``Trajectories`` records, and the policy and oracle protocols.

Letters in shapes: ``B`` batch · ``S`` source length · ``T`` target length or horizon · ``V``
vocabulary · ``D`` width · ``H`` heads · ``K`` beam · ``N`` selected positions of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

PAD, BOS, EOS, UNK = range(4)
# Log-probability of an impossible token, finite in half precision too: exp(LOG_ZERO) is exactly 0,
# and 0 · LOG_ZERO is 0 where 0 · -inf would be NaN.
LOG_ZERO = -1e4


def pad(rows: Sequence[np.ndarray], width: int) -> np.ndarray:
    """Right-pad rows of tokens with PAD to int64 ``[B, width]``."""
    padded = np.full((len(rows), width), PAD, dtype=np.int64)
    for row, tokens in enumerate(rows):
        padded[row, : len(tokens)] = tokens
    return padded


def shift(action: Tensor) -> Tensor:
    """Shift actions right to get decoder inputs: BOS, y_1 … y_{T-1}, ``[B, T]``."""
    return torch.cat([torch.full_like(action[:, :1], BOS), action[:, :-1]], dim=1)


def select_positions(x: Tensor, mask: Tensor) -> Tensor:
    """Select the positions of ``x`` ``[B, T, …]`` where ``mask`` is True, in row-major order.

    Args:
        x: ``[B, T, …]`` on any device.
        mask: bool ``[B, T]``. Keep it on the CPU to avoid a GPU synchronization.

    Returns:
        ``[N, …]`` on the device of ``x``.
    """
    index = _move(mask.flatten().nonzero().squeeze(1), x.device)  # [N]
    return x.flatten(0, 1).index_select(0, index)


def _move(x: Tensor, device: torch.device | str) -> Tensor:
    """Move ``x`` to ``device``; asynchronous from the CPU, blocking from a GPU."""
    return x.to(device, non_blocking=x.device.type == "cpu")


@dataclass(frozen=True, slots=True)
class Trajectories:
    """Generated sequences, one episode per row.

    A row is terminated if its last action is EOS, else truncated.

    Args:
        action: int64 ``[B, T]``, right-padded with PAD.
        length: ``[B]``, number of actions, including EOS.
        score: float32 ``[B]``, sum of log-probabilities under the generating policy, NaN if it was
            not computed.
    """

    action: Tensor
    length: Tensor
    score: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """A padded batch of training episodes.

    ``length``, ``limit`` and ``row`` stay on the CPU, where they can be read at every step without
    a GPU synchronization.

    Args:
        index: ``[B]``, row numbers in the split.
        source: ``[B, S]``, ends in EOS, right-padded with PAD.
        target: ``[B, T]``, the actions y_1 … y_L including EOS, right-padded with PAD.
        length: ``[B]``, the number of actions L; later positions are padding and have no loss.
        limit: ``[B]``, maximum number of generated actions per source (``Task.limit``). A
            reference may be longer.
        row: int64 ``[B]``, position of each row in the global batch, the key of its random
            numbers. Default: 0 … B-1, for a batch that is the global batch.
    """

    index: Tensor
    source: Tensor
    target: Tensor
    length: Tensor
    limit: Tensor
    row: Tensor = None  # type: ignore[assignment]  # set in __post_init__

    def __post_init__(self) -> None:
        if self.row is None:
            object.__setattr__(self, "row", torch.arange(len(self.length)))

    def __len__(self) -> int:
        return len(self.length)

    @property
    def prefix(self) -> Tensor:
        """``[B, T]``: ``prefix[:, t]`` is the token before step t; the first is BOS."""
        return shift(self.target)

    @property
    def mask(self) -> Tensor:
        """Bool ``[B, T]`` on the device of the target: True at actions, False at padding."""
        length = _move(self.length, self.target.device)
        return torch.arange(self.target.shape[1], device=self.target.device) < length[:, None]

    @property
    def mask_cpu(self) -> Tensor:
        """``mask`` on the CPU, to select positions without a GPU synchronization."""
        return torch.arange(self.target.shape[1], device=self.length.device) < self.length[:, None]

    @property
    def states(self) -> tuple[Tensor, Tensor, Tensor]:
        """Source, prefix and CPU mask: the arguments of a policy or oracle for N positions."""
        return self.source, self.prefix, self.mask_cpu

    @property
    def tokens(self) -> int:
        """Number of actions in the batch."""
        return int(self.length.sum())

    def rows(self, which: Tensor) -> Batch:
        """Select rows by a bool mask ``[B]`` or by indices, on any device."""
        on_cpu, on_device = which.to(self.length.device), _move(which, self.source.device)
        return Batch(
            self.index[on_device],
            self.source[on_device],
            self.target[on_device],
            self.length[on_cpu],
            self.limit[on_cpu],
            self.row[on_cpu],
        )

    def with_episodes(self, episodes: Trajectories) -> Batch:
        """Replace the targets of all rows by ``episodes``, one per row."""
        return replace(self, target=episodes.action, length=episodes.length.cpu())

    def with_rows(self, which: Tensor, episodes: Trajectories) -> Batch:
        """Replace the targets of the selected rows and trim the targets to the longest row.

        Args:
            which: bool ``[B]``, on any device.
            episodes: the new targets, one per selected row, in order.
        """
        length = self.length.clone()
        length[which.to(length.device)] = episodes.length.to(length.device)
        width = int(length.max())
        old, new = self.target[:, :width], episodes.action[:, :width]
        target = torch.full((len(self), width), PAD, dtype=torch.int64, device=self.target.device)
        target[:, : old.shape[1]] = old
        on_device = _move(which, target.device)
        target[on_device] = PAD
        target[on_device, : new.shape[1]] = new
        return replace(self, target=target, length=length)

    def to(self, device: torch.device | str) -> Batch:
        """Move index, source and target to ``device``, and length, limit and row to the CPU."""
        moved = (_move(x, device) for x in (self.index, self.source, self.target))
        return Batch(*moved, *(x.cpu() for x in (self.length, self.limit, self.row)))


class Oracle(Protocol):
    """An expert that answers queries at any prefix.

    An oracle may also have ``start(source, limit)`` and ``step(token, state)``, like a ``Stepper``.
    Generation that mixes student and expert then steps the oracle with its cache instead of
    encoding the whole prefix at every step.
    """

    vocabulary_size: int

    @property
    def queries(self) -> int:
        """Number of positions answered so far, including those of its own demonstrations."""
        ...

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return normalized, finite next-token log-probabilities.

        Returns:
            float32 ``[B, T, V]``, or ``[N, V]`` with a mask.
        """
        ...

    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the expert's action: int64 ``[B, T]``, or ``[N]`` with a mask."""
        ...

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """Generate at most ``limit`` actions per source: a number, or int64 ``[B]``."""
        ...


class DecodeState(Protocol):
    """A policy's state between two decoding steps; opaque to the decoder."""

    def select(self, index: Tensor) -> Self:
        """Keep or reorder rows, to drop finished ones or to follow beams.

        The result may share memory with this state; do not use this state again.

        Args:
            index: int64 ``[B']`` into the current rows.
        """
        ...


class Stepper(Protocol):
    """The decoding interface: encode the source once, then take cached steps."""

    def start(self, source: Tensor, limit: int) -> DecodeState:
        """Encode ``source`` ``[B, S]`` once, for at most ``limit`` steps."""
        ...

    def step(self, token: Tensor, state: DecodeState) -> tuple[Tensor, DecodeState]:
        """Feed the last token ``[B]``; return next-token logits ``[B, V]`` and the new state."""
        ...


class Policy(Stepper, Protocol):
    """π(a | s) with state s = (source, prefix).

    Every policy computes the same logits cached and uncached, batched and single, padded and
    unpadded. PAD may follow a source and is never attended to; tokens after the end of a row's
    prefix never change its earlier logits.
    """

    vocabulary_size: int
    feature_width: int
    training: bool

    def train(self, mode: bool = True) -> Self:
        """Same as in ``nn.Module``; every policy is one."""
        ...

    def modules(self) -> Iterator[nn.Module]:
        """Same as in ``nn.Module``."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Same as in ``nn.Module``."""
        ...

    def __call__(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute next-token logits for every prefix in one pass (teacher forcing).

        Args:
            source: ``[B, S]``.
            prefix: ``[B, T]``, starts with BOS.
            mask: bool ``[B, T]``, on the device of the prefix or on the CPU: compute only the
                positions where it is True, in row-major order.

        Returns:
            ``[B, T, V]``, or ``[N, V]`` with a mask.
        """
        ...

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the input of the output layer (and of a critic): ``[B, T, D]`` or ``[N, D]``."""
        ...

    def head(self, features: Tensor) -> Tensor:
        """Apply the output layer; ``head(features(…))`` equals calling the policy."""
        ...
