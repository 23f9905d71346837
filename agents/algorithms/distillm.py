"""DistiLLM (Ko et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from agents.algorithms.base import Algorithm, Clock
from agents.generation.roll_in import with_rollouts
from agents.losses.divergences import skew_kl, skew_reverse_kl
from agents.losses.loss import Loss
from agents.losses.sequence import distillation_loss
from textgen_env.errors import Range, check_range, unknown
from textgen_env.types import PAD, Batch, Oracle, Policy, pad

DIVERGENCES = {"skew_kl": skew_kl, "skew_reverse_kl": skew_reverse_kl}


class DistiLLM(Algorithm):
    """Minimize a skewed KL on data and on old and new samples.

    For oracle p and student q the loss is the skew KL(p ‖ αp + (1 - α)q) or the skew reverse
    KL(q ‖ αq + (1 - α)p) (Ko et al. 2024, "DistiLLM", section 3.1), on adaptive off-policy data
    (section 3.2, Algorithm 1). With probability φ a sequence is the student's instead of the
    data's. At step t of T a fraction 1 - t/T of these are new samples, which also enter a replay
    buffer; the others come from that buffer. All are new until it is full. φ grows when the
    validation loss has risen since the previous validation.

    The paper draws one coin per mini-batch; here each sequence gets its own, as in GKD. Only
    samples of earlier updates are replayed, so that sub-batches add up to the whole batch.

    Args:
        divergence: skew_kl or skew_reverse_kl
        skew: α, the weight of the mixture's first distribution, in [0, 1); 0: the plain KL
        student_fraction: φ at the start, the probability that a sequence is the student's
        growth: added to φ, which is at most 1, when the validation loss has risen
        tolerance: how much the validation loss must rise, in nats per token
        capacity: sequences in the replay buffer
    """

    fraction: Tensor
    previous_loss: Tensor

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        divergence: str = "skew_kl",
        skew: float = 0.1,
        student_fraction: float = 0.0,
        growth: float = 0.1,
        tolerance: float = 0.0,
        capacity: int = 1000,
    ) -> None:
        super().__init__()
        if divergence not in DIVERGENCES:
            raise unknown("divergence", divergence, DIVERGENCES)
        check_range("skew", skew, Range(0, 1, "most"))
        check_range("student_fraction", student_fraction, Range(0, 1))
        check_range("growth", growth, Range(0, 1))
        check_range("tolerance", tolerance, Range(0, 10**6))
        check_range("capacity", capacity, Range(1, 10**6))
        self.policy, self.oracle = policy, oracle
        self.divergence = partial(DIVERGENCES[divergence], alpha=skew)
        self.growth, self.tolerance = growth, tolerance
        self.uses_targets = student_fraction < 1
        self.replay = ReplayBuffer(capacity)
        self.register_buffer("fraction", torch.tensor(student_fraction, dtype=torch.float64))
        none_yet = torch.finfo(torch.float64).max  # nothing is above it, and checkpoints are finite
        self.register_buffer("previous_loss", torch.tensor(none_yet, dtype=torch.float64))

    def loss(self, batch: Batch, clock: Clock) -> Loss:
        """The divergence at every position of data, new samples and old samples."""
        fraction, coin = self.fraction.item(), clock.uniform("coin", batch.row)  # φ, [B]
        replay = 0.0 if self.replay.is_filling(clock.step) else clock.progress
        new = coin < fraction * (1 - replay)  # [B]
        old = (coin < fraction) & ~new  # [B]
        noise = clock.uniform("roll-in", batch.row, int(batch.limit.max()))  # [B, T]
        batch = with_rollouts(batch, new, self.policy, noise)
        self.replay.add(batch.rows(new), clock.step)
        parts = batch.rows(~old), self.replay.sample(batch.rows(old), clock)
        losses = [
            distillation_loss(self.policy, self.oracle, part, self.divergence)
            for part in parts
            if len(part)
        ]
        metrics = {
            "student_fraction": fraction,
            "new": new.float().mean(),
            "replayed": old.float().mean(),
        }
        total = torch.stack([loss.sum for loss in losses]).sum()
        return Loss(total, sum(loss.weight for loss in losses), metrics)

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Let φ grow if the validation loss has risen."""
        if "valid_loss" in metrics:
            if metrics["valid_loss"] > self.previous_loss + self.tolerance:
                self.fraction = (self.fraction + self.growth).clamp(max=1)
            self.previous_loss.fill_(metrics["valid_loss"])


class ReplayBuffer(nn.Module):
    """The latest sequences of the student.

    An update may add sequences in several sub-batches, in any order. It draws only from the
    ``capacity`` latest ones of earlier updates.

    Args:
        capacity: in sequences.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        # (step, row, tokens), in this order; tokens are [S, source, target].
        self.sequences: list[tuple[int, int, np.ndarray]] = []

    def before(self, step: int) -> list[tuple[int, int, np.ndarray]]:
        """The sequences that the update ``step`` may draw."""
        earlier = [sequence for sequence in self.sequences if sequence[0] < step]
        return earlier[-self.capacity :]

    def is_filling(self, step: int) -> bool:
        """Whether there were fewer than ``capacity`` sequences before the update ``step``."""
        return len(self.before(step)) < self.capacity

    def add(self, batch: Batch, step: int) -> None:
        """Add the rows of ``batch``, made at the update ``step``."""
        rows = batch.row.tolist(), batch.source.cpu().numpy(), batch.target.cpu().numpy()
        latest = [sequence for sequence in self.sequences if sequence[0] == step]
        for row, source, target in zip(*rows, strict=True):
            source, target = source[source != PAD], target[target != PAD]
            tokens = np.concatenate([[len(source)], source, target], dtype=np.int32)
            latest.append((step, row, tokens))
        self.sequences = self.before(step) + sorted(latest, key=lambda sequence: sequence[1])

    def sample(self, batch: Batch, clock: Clock) -> Batch:
        """Draw a sequence for each row of ``batch``, with replacement."""
        if not len(batch):
            return batch
        sequences = self.before(clock.step)
        index = (clock.uniform("replay", batch.row) * len(sequences)).long()  # [B]
        drawn = [sequences[i][2] for i in index.tolist()]
        sources, targets = zip(*(np.split(x[1:], x[:1]) for x in drawn), strict=True)
        source, target = (
            torch.from_numpy(pad(rows, max(map(len, rows)))) for rows in (sources, targets)
        )
        length = torch.tensor([*map(len, targets)])
        return Batch(index, source, target, length, length, batch.row).to(batch.source.device)

    def get_extra_state(self) -> dict[str, Tensor]:
        """All sequences as tensors."""
        step, row, tokens = zip(*self.sequences, strict=True) if self.sequences else ([], [], [])
        return {
            "step": torch.tensor(step, dtype=torch.int64),
            "row": torch.tensor(row, dtype=torch.int64),
            "size": torch.tensor([*map(len, tokens)], dtype=torch.int64),
            "tokens": torch.from_numpy(np.concatenate([np.zeros(0, np.int32), *tokens])),
        }

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``get_extra_state`` returned."""
        tokens = (row.clone().numpy() for row in state["tokens"].split(state["size"].tolist()))
        keys = state["step"].tolist(), state["row"].tolist()
        self.sequences = [*zip(*keys, tokens, strict=True)]


NAMES = {"distillm": partial(DistiLLM)}
