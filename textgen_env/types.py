"""The letters, the four special tokens, the two records that everything passes, and the policy and oracle protocols.

``B`` batch · ``S`` source length · ``T`` target length or horizon · ``V`` vocabulary · ``D`` width · ``H`` heads · ``K`` beam.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

PAD, BOS, EOS, UNK = range(4)
LOG_ZERO = -1e4  # the log-probability of "never": exp is exactly 0, yet 0 · LOG_ZERO is 0 and not NaN, in half precision too


def pad(rows: Sequence[np.ndarray], width: int) -> np.ndarray:
    """Rows of tokens → int64 ``[B, width]``, PAD after."""
    padded = np.full((len(rows), width), PAD, dtype=np.int64)
    for row, tokens in enumerate(rows):
        padded[row, : len(tokens)] = tokens
    return padded


def shift(action: Tensor) -> Tensor:
    """The prefix's last token at every step: BOS, y_1 … y_{T-1}.  ``[B, T]`` → ``[B, T]``."""
    return torch.cat([torch.full_like(action[:, :1], BOS), action[:, :-1]], dim=1)


def select_positions(x: Tensor, mask: Tensor) -> Tensor:
    """What stands where the bool ``mask`` ``[B, T]`` is True, in row-major order: ``[B, T, …]`` → ``[N, …]``.

    The mask may be on the CPU whatever the device of ``x``: then nothing waits for that device.
    """
    place = _moved(mask.flatten().nonzero().squeeze(1), x.device)  # [N]
    return x.flatten(0, 1).index_select(0, place)


def _moved(x: Tensor, device: torch.device | str) -> Tensor:
    """``x`` on ``device``; the way to a GPU is not waited for, the way back has to be."""
    return x.to(device, non_blocking=x.device.type == "cpu")


@dataclass(frozen=True, slots=True)
class Trajectories:
    """What a policy generated: one row an episode.

    action ``[B, T]`` int64, PAD after the end · length ``[B]`` number of actions, EOS included ·
    score ``[B]`` float32, summed log-probability under that policy, NaN if it was not computed.
    A row is terminated when its last action is EOS, truncated otherwise.
    """

    action: Tensor
    length: Tensor
    score: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Episodes to learn from, padded to one shape.

    ``to`` leaves length, limit and row on the CPU: they are read at every step, without waiting for a GPU.

    Args:
        index: ``[B]``, the row in the split
        source: ``[B, S]``, ends in EOS, PAD after
        target: ``[B, T]``, the actions y_1 … y_L, EOS included, PAD after
        length: ``[B]`` = L; positions at and after L carry no loss
        limit: ``[B]``, the most actions that may be generated for each source (``Task.limit``);
            a reference may be longer
        row: ``[B]`` int64, the place of each row in the global batch, which keys every coin and
            sample drawn for it; by default 0 … B-1, as in a batch that is the global one
    """

    index: Tensor
    source: Tensor
    target: Tensor
    length: Tensor
    limit: Tensor
    row: Tensor = None  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        if self.row is None:
            object.__setattr__(self, "row", torch.arange(len(self.length)))

    def __len__(self) -> int:
        return len(self.length)

    @property
    def prefix(self) -> Tensor:
        """``[B, T]``: prefix[:, t] is the token that step t is conditioned on, BOS first."""
        return shift(self.target)

    @property
    def mask(self) -> Tensor:
        """``[B, T]`` bool, beside the target: True where an action was taken."""
        length = _moved(self.length, self.target.device)
        return torch.arange(self.target.shape[1], device=self.target.device) < length[:, None]

    @property
    def mask_cpu(self) -> Tensor:
        """``mask``, beside the length: picks positions without waiting for a GPU to count them."""
        return torch.arange(self.target.shape[1], device=self.length.device) < self.length[:, None]

    @property
    def tokens(self) -> int:
        """Number of actions in the batch."""
        return int(self.length.sum())

    def rows(self, which: Tensor) -> Batch:
        """The rows that ``which`` (bool ``[B]`` or indices, on any device) selects."""
        here, there = which.to(self.length.device), _moved(which, self.source.device)
        parts = (
            self.index[there],
            self.source[there],
            self.target[there],
            self.length[here],
            self.limit[here],
        )
        return Batch(*parts, self.row[here])

    def with_rows(self, which: Tensor, episodes: Trajectories) -> Batch:
        """This batch with the targets of rows ``which`` (bool ``[B]``, on any device) replaced by ``episodes``, in order.

        Its targets are as wide as the longest of them.
        """
        length = self.length.clone()
        length[which.to(length.device)] = episodes.length.to(length.device)
        width = int(length.max())
        kept, new = self.target[:, :width], episodes.action[:, :width]
        target = torch.full((len(self), width), PAD, dtype=torch.int64, device=self.target.device)
        target[:, : kept.shape[1]] = kept
        there = _moved(which, target.device)
        target[there] = PAD
        target[there, : new.shape[1]] = new
        return replace(self, target=target, length=length)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``, but for its length, limit and row."""
        there, here = (self.index, self.source, self.target), (self.length, self.limit, self.row)
        return Batch(*(_moved(part, device) for part in there), *(part.cpu() for part in here))


class Oracle(Protocol):
    """vocabulary_size: V.  queries: positions answered so far, its own demonstrations included.

    Optional: ``start(source, limit)`` and ``step(token, state)``, as a ``Stepper`` has them. With them generation that mixes
    student and expert steps the oracle with its cache; without, it queries the whole prefix at every step.
    """

    vocabulary_size: int

    @property
    def queries(self) -> int: ...

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Next-token log-probabilities, float32 ``[B, T, V]``; with a mask ``[N, V]``.  Normalized and finite."""
        ...

    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """What it would do, int64 ``[B, T]``; with a mask ``[N]``."""
        ...

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """Its own outputs of at most ``limit`` actions: a number, or int64 ``[B]`` with a limit for each row."""
        ...


class DecodeState(Protocol):
    """What a policy remembers between two steps of one decode; opaque to the decoder."""

    def select(self, index: Tensor) -> Self:
        """Keep or reorder rows: ``index`` ``[B']`` int64 into the current rows.  Drops finished rows, follows beams.

        What is selected may share memory with this state, which must not be used again.
        """
        ...


class Stepper(Protocol):
    """What a decoder needs: to encode a source, then one cached step at a time."""

    def start(self, source: Tensor, limit: int) -> DecodeState:
        """Encode ``source`` ``[B, S]`` once, for at most ``limit`` steps."""
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
        on the CPU, only the positions where it is True, in row-major order: ``[N, V]``.
        """
        ...

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """The input of the output layer, and of a critic: ``[B, T, feature_width]``, or ``[N, feature_width]`` with a mask."""
        ...

    def head(self, features: Tensor) -> Tensor:
        """The output layer: ``head(features(…))`` is what calling the policy gives."""
        ...
