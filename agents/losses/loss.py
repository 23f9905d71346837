"""What a loss function returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Loss:
    """A loss as a sum and its weight, so that parts of a batch are added first and divided once.

    Attributes:
        sum: scalar.
        weight: what the sum is divided by: the positions or the episodes of the batch.
        metrics: named numbers to log. A tensor on a GPU is not waited for.
        tokens: positions that carry the loss, for the cost; None where they are the weight.
    """

    sum: Tensor
    weight: int
    metrics: Mapping[str, float | Tensor] = field(default_factory=dict)
    tokens: int | None = None

    @property
    def mean(self) -> Tensor:
        """What one optimizer step descends."""
        return self.sum / self.weight
