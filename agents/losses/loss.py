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
        weight: the divisor of the sum: the number of positions or episodes.
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
