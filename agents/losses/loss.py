"""The loss of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Loss:
    """A loss as a sum and a weight, so that chunks of a batch can be added and divided once.

    Attributes:
        sum: scalar.
        weight: the divisor of the sum: the number of positions or episodes. 0 if a part of a batch
            has none.
        metrics: named values to log. Tensors may stay on the GPU.
        tokens: positions with a loss, for the cost; None if this is the weight.
    """

    sum: Tensor
    weight: int
    metrics: Mapping[str, float | Tensor] = field(default_factory=dict)
    tokens: int | None = None

    @property
    def mean(self) -> Tensor:
        """What an optimizer step minimizes."""
        return self.sum / self.weight

    def __add__(self, other: Loss) -> Loss:
        """The loss of two parts of a batch; metrics are means over both, by weight."""
        weight, metrics = self.weight + other.weight, {}
        for name in {**self.metrics, **other.metrics}:
            parts = [part for part in (self, other) if part.weight and name in part.metrics]
            metrics[name] = sum(part.metrics[name] * part.weight for part in parts) / max(weight, 1)
        tokens = sum(part.weight if part.tokens is None else part.tokens for part in (self, other))
        return Loss(self.sum + other.sum, weight, metrics, tokens)
