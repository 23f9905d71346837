"""DAgger as Ross, Gordon & Bagnell (2011) wrote it: every roll-in joins a growing data set, and all of it is cloned."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from heapq import heappop, heappush

import numpy as np
import torch
from torch import Tensor, nn

from agents.algorithms.base import UPDATES_PER_ROUND, Algorithm, Clock
from agents.algorithms.dagger import DAgger, relabel
from agents.losses.loss import Loss
from agents.losses.sequence import checked_smoothing, clone
from textgen_env.errors import Range, UserError, check_range
from textgen_env.types import PAD, Batch, Oracle, Policy, pad

OVERHEAD = 256  # bytes that an episode takes beside its tokens


class DAggerAggregate(Algorithm):
    """Roll in as ``DAgger`` does, label by the oracle's actions, add to the data set, clone samples of the whole of it.

    Labels are stored, so that each state costs one query for ever. Beyond ``memory_mb`` the data set is a uniform sample of
    everything that was ever added.

    Args:
        beta: schedule of β over the training: exponential, linear, reverse_sigmoid or constant
        rate: the schedule's parameter; null: its kind's own (exponential 1/200 and linear 0, β at the end;
            reverse_sigmoid 0.1, its width; constant 1/2)
        top_k: the student generates greedily (1), by top-k sampling (k) or from its whole distribution (0)
        mixture: what a coin decides about: a step, a sequence or the whole batch
        every: updates between two roll-ins, at most 64: the length of a DAgger iteration
        memory_mb: the most that the data set may take, in MiB
        label_smoothing: probability mass spread evenly over the vocabulary, in [0, 1)
    """

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        beta: str = "exponential",
        rate: float | None = None,
        top_k: int = 1,
        mixture: str = "sequence",
        every: int = 1,
        memory_mb: float = 64.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        check_range("every", every, Range(1, UPDATES_PER_ROUND))
        check_range("memory_mb", memory_mb, Range(0, 10**6, "least"))
        self.policy, self.oracle, self.every = policy, oracle, every
        self.dagger = DAgger(policy, oracle, "action", beta, rate, top_k, mixture)
        self.label_smoothing = checked_smoothing(label_smoothing)
        self.data = Reservoir(int(memory_mb * 2**20))

    def updates(self, batches: list[Batch], clock: Clock) -> Iterator[Loss]:
        """One iteration a batch; each update is on about as many tokens as the batch has."""
        for batch in batches:
            rolled_in, _ = self.dagger.roll_in(batch, clock)
            label = relabel(self.oracle, rolled_in, torch.ones(len(batch), dtype=torch.bool))
            self.data.add(rolled_in, label, clock.uniform("reservoir", batch.row))
            for _ in range(self.every):
                sample, action = self.data.sample(batch.tokens, clock)
                sample, action = sample.to(batch.source.device), action.to(batch.source.device)
                loss = clone(self.policy, sample, action, self.label_smoothing)
                loss.metrics = {"aggregated": len(self.data), "seen": self.data.seen}
                yield loss
                clock = clock.later(1)


class Reservoir(nn.Module):
    """A uniform sample of all episodes that were ever added: those with the smallest random keys.

    It keeps as many as would fit ``capacity`` bytes if all were as long as the longest ever added, which does not depend on
    the keys: so each is as likely to be kept as any other, whatever its length.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity, self.largest = capacity, 0  # bytes
        self.seen, self.actions = 0, 0  # episodes and actions ever added
        self.heap: list[
            tuple[float, int, np.ndarray]
        ] = []  # minus the key, number, tokens with their lengths first

    def __len__(self) -> int:
        return len(self.heap)

    def add(self, batch: Batch, labels: Tensor, keys: Tensor) -> None:
        """Add episodes with their labels ``[B, T]`` and uniform random keys ``[B]``."""
        parts = (
            part.cpu().numpy().astype(np.int32) for part in (batch.source, batch.target, labels)
        )
        for source, target, label, length, key in zip(
            *parts, batch.length.tolist(), keys.tolist(), strict=True
        ):
            words = source[source != PAD]
            tokens = np.concatenate(
                [[len(words), length], words, target[:length], label[:length]], dtype=np.int32
            )
            heappush(self.heap, (-key, self.seen, tokens))
            self.seen, self.largest = self.seen + 1, max(self.largest, OVERHEAD + tokens.nbytes)
        self.actions += batch.tokens
        if self.largest > self.capacity:
            raise UserError(
                f"memory_mb={self.capacity / 2**20:g} does not hold one episode of this task; raise it"
            )
        while len(self.heap) * self.largest > self.capacity:
            heappop(self.heap)

    def sample(self, tokens: int, clock: Clock) -> tuple[Batch, Tensor]:
        """Episodes, with replacement, of about ``tokens`` actions together, and their labels ``[N]``.

        Their number is settled before their lengths are known, so that all are equally likely; ``index`` is their place here.
        """
        row = torch.arange(max(1, round(tokens * self.seen / self.actions)))
        place = (clock.uniform("sample", row) * len(self)).long()  # [B]
        episodes = [self.heap[index][2] for index in place.tolist()]
        parts = (np.split(episode[2:], episode[:2].cumsum()) for episode in episodes)
        source, target, label = zip(*parts, strict=True)
        sources, targets = (
            torch.from_numpy(pad(rows, max(map(len, rows)))) for rows in (source, target)
        )
        length = torch.tensor([*map(len, target)])
        batch = Batch(place, sources, targets, length, limit=length, row=row)
        return batch, torch.from_numpy(np.concatenate(label)).long()

    def get_extra_state(self) -> dict[str, Tensor]:
        """All of it, as tensors."""
        order, number, tokens = zip(*self.heap, strict=True) if self.heap else ([], [], [])
        return {
            "counts": torch.tensor([self.largest, self.seen, self.actions]),
            "order": torch.tensor(order, dtype=torch.float64),
            "number": torch.tensor(number, dtype=torch.int64),
            "size": torch.tensor([*map(len, tokens)], dtype=torch.int64),
            "tokens": torch.from_numpy(np.concatenate([np.zeros(0, np.int32), *tokens])),
        }

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """What ``get_extra_state`` gave."""
        self.largest, self.seen, self.actions = state["counts"].tolist()
        tokens = (part.clone().numpy() for part in state["tokens"].split(state["size"].tolist()))
        self.heap = [*zip(state["order"].tolist(), state["number"].tolist(), tokens, strict=True)]


NAMES = {"dagger_aggregate": partial(DAggerAggregate)}
