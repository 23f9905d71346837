"""DAgger with data aggregation (Ross, Gordon & Bagnell 2011)."""

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

EPISODE_OVERHEAD = 256  # bytes of Python objects per episode, beside its tokens


class DAggerAggregate(Algorithm):
    """Imitate the oracle on all roll-ins collected so far.

    Iteration i rolls in with π_i = β_i π* + (1 - β_i) π̂_i, labels every state with the oracle's
    action, adds D_i to the dataset, D ← D ∪ D_i, and trains on samples of D by maximum likelihood
    (Ross, Gordon & Bagnell 2011, Algorithm 3.1). Roll-ins are those of ``DAgger``.

    Labels are stored, so each state is queried only once. When the dataset exceeds ``memory_mb``,
    it becomes a uniform random sample of everything collected so far.

    Args:
        beta: schedule of β: exponential, linear, reverse_sigmoid or constant
        rate: final β (exponential, linear), width (reverse_sigmoid) or β (constant); null: default
        top_k: how the student generates: 1 greedy, k top-k sampling, 0 sampling from all tokens
        mixture: the unit that one coin decides: step, sequence or batch
        every: updates per iteration, that is per roll-in; at most 64
        memory_mb: maximum size of the dataset in MiB
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
        self.policy, self.oracle = policy, oracle
        self.every = self.updates_per_batch = every
        self.dagger = DAgger(policy, oracle, "action", beta, rate, top_k, mixture)
        self.label_smoothing = checked_smoothing(label_smoothing)
        self.data = Reservoir(int(memory_mb * 2**20))

    def updates(self, batches: list[Batch], clock: Clock) -> Iterator[Loss]:
        """One iteration: add the batch to D, then return the updates on samples of D."""
        (batch,) = batches
        rolled_in, _ = self.dagger.roll_in(batch, clock)
        label = relabel(self.oracle, rolled_in, torch.ones(len(batch), dtype=torch.bool))
        self.data.add(rolled_in, label, clock.uniform("reservoir", batch.row))
        self.data.count(batch, clock)
        return self.train_on_samples(batch, clock)

    def train_on_samples(self, batch: Batch, clock: Clock) -> Iterator[Loss]:
        """``every`` updates, each on about as many tokens as the batch has."""
        for number in range(self.every):
            sample, action = self.data.sample(batch.row, clock.later(number))
            if not len(sample):  # the batch is a small part of one
                yield Loss(torch.zeros(()), 0)
                continue
            sample, action = sample.to(batch.source.device), action.to(batch.source.device)
            loss = clone(self.policy, sample, action, self.label_smoothing)
            loss.metrics = {"aggregated": len(self.data), "seen": self.data.seen}
            yield loss


class Reservoir(nn.Module):
    """A uniform random sample of all episodes added so far, within a memory limit.

    Each episode gets a random key, and those with the smallest keys are kept. The number kept is
    what would fit if all episodes were as long as the longest one so far. That number does not
    depend on the keys, so every episode is equally likely to be kept, whatever its length.

    Args:
        capacity: in bytes.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity, self.largest = capacity, 0  # bytes
        self.seen, self.actions = 0, 0  # number of episodes and of actions added so far
        self.step, self.rows, self.tokens = -1, 0, 0  # of the current iteration's batch
        # A heap of (-key, serial number, tokens); tokens are [S, T, source, target, labels].
        self.heap: list[tuple[float, int, np.ndarray]] = []

    def __len__(self) -> int:
        return len(self.heap)

    def add(self, batch: Batch, labels: Tensor, keys: Tensor) -> None:
        """Add episodes with their labels ``[B, T]`` and uniform random keys ``[B]``."""
        arrays = [x.cpu().numpy().astype(np.int32) for x in (batch.source, batch.target, labels)]
        for source, target, label, length, key in zip(
            *arrays, batch.length.tolist(), keys.tolist(), strict=True
        ):
            source = source[source != PAD]
            tokens = np.concatenate(
                [[len(source), length], source, target[:length], label[:length]], dtype=np.int32
            )
            heappush(self.heap, (-key, self.seen, tokens))
            self.seen += 1
            self.largest = max(self.largest, EPISODE_OVERHEAD + tokens.nbytes)
        self.actions += batch.tokens
        if self.largest > self.capacity:
            raise UserError(
                f"memory_mb={self.capacity / 2**20:g} cannot hold one episode of this task; "
                "increase it"
            )
        while len(self.heap) * self.largest > self.capacity:
            heappop(self.heap)

    def count(self, batch: Batch, clock: Clock) -> None:
        """Count the rows and tokens of an iteration's ``batch``, which may come in parts."""
        if clock.step != self.step:
            self.step, self.rows, self.tokens = clock.step, 0, 0
        self.rows += len(batch)
        self.tokens += batch.tokens

    def sample(self, rows: Tensor, clock: Clock) -> tuple[Batch, Tensor]:
        """Draw episodes with replacement, about as many tokens as the iteration's batch has.

        The number of episodes depends on the mean length of all added, not on the lengths drawn,
        so all episodes are equally likely.

        Args:
            rows: rows of the iteration's batch; each has an equal share of the sample.
            clock: its step and seed key the sample.

        Returns:
            The episodes, with ``index`` their position in the heap, and the labels ``[N]``.
        """
        size = max(1, round(self.tokens * self.seen / self.actions))
        row = torch.arange(size)
        row = row[torch.isin(row * self.rows // size, rows)]  # [B]
        index = (clock.uniform("sample", row) * len(self)).long()  # [B]
        if not len(index):
            empty = torch.zeros(0, 1, dtype=torch.int64)
            return Batch(index, empty, empty, index, index, row), index
        episodes = [self.heap[i][2] for i in index.tolist()]
        split = (np.split(episode[2:], episode[:2].cumsum()) for episode in episodes)
        sources, targets, labels = zip(*split, strict=True)
        source, target = (
            torch.from_numpy(pad(rows, max(map(len, rows)))) for rows in (sources, targets)
        )
        length = torch.tensor([*map(len, targets)])
        batch = Batch(index, source, target, length, limit=length, row=row)
        return batch, torch.from_numpy(np.concatenate(labels)).long()

    def get_extra_state(self) -> dict[str, Tensor]:
        """The whole dataset as tensors."""
        order, number, tokens = zip(*self.heap, strict=True) if self.heap else ([], [], [])
        return {
            "counts": torch.tensor([self.largest, self.seen, self.actions]),
            "order": torch.tensor(order, dtype=torch.float64),
            "number": torch.tensor(number, dtype=torch.int64),
            "size": torch.tensor([*map(len, tokens)], dtype=torch.int64),
            "tokens": torch.from_numpy(np.concatenate([np.zeros(0, np.int32), *tokens])),
        }

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``get_extra_state`` returned."""
        self.largest, self.seen, self.actions = state["counts"].tolist()
        tokens = (row.clone().numpy() for row in state["tokens"].split(state["size"].tolist()))
        self.heap = [*zip(state["order"].tolist(), state["number"].tolist(), tokens, strict=True)]


NAMES = {"dagger_aggregate": partial(DAggerAggregate)}
