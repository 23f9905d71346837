"""One file an algorithm.  An algorithm turns a batch into a loss; the trainer owns everything else.

A module here holds one class and, in ``NAMES``, the settings under which the command line knows it
(``"imitkd": partial(DAgger, labels="action", …)``).  The constructor names what it needs of ``policy``, ``oracle``
and ``generator``; its other parameters become ``algorithm.*`` keys, their ``Args:`` lines the help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from textgen_env.types import Batch


@dataclass
class LossOutput:
    """What one step costs and says.

    loss: scalar to minimise.  figures: named numbers to log.  decoded: student tokens written for this step.
    scored: prefixes that the teacher was asked about.  tokens: positions that carry the loss.
    """

    loss: Tensor
    tokens: int
    figures: dict[str, float] = field(default_factory=dict)
    decoded: int = 0
    scored: int = 0


class Algorithm(Protocol):
    """roll-in × label × loss."""

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """The loss of one mini-batch; ``progress`` in [0, 1) is the share of the training that is done."""
        ...
