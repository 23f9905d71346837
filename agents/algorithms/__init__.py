"""One file an algorithm.  An algorithm turns a batch into a loss; the trainer owns everything else.

A module here holds one class and, in ``NAMES``, the settings under which the command line knows it
(``"imitkd": partial(DAgger, labels="action", …)``).  The constructor names what it needs of ``policy``, ``oracle``,
``generator`` and ``reward``; its other parameters become ``algorithm.*`` keys, their ``Args:`` lines the help.  How much may be
generated for each source is ``batch.limit``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from textgen_env.errors import UserError
from textgen_env.types import Batch


@dataclass
class LossOutput:
    """What one step costs and says.

    loss: scalar to minimise.  figures: named numbers to log, or scalar tensors, for which a GPU need not be waited.
    decoded: student tokens written for this step.  scored: prefixes that the teacher was asked about.  tokens: positions that
    carry the loss.
    """

    loss: Tensor
    tokens: int
    figures: Mapping[str, float | Tensor] = field(default_factory=dict)
    decoded: int = 0
    scored: int = 0


class Algorithm:
    """roll-in × label × loss.  A subclass defines ``loss``; the rest is for those that keep a state or ask for more.

    demonstrations: the sequences of its batches, "references", or of the teacher's beam the first ("teacher") or the one with
    the best sentence score ("best_of_beam").  needs_start: it only improves a policy that can already write (``init=RUN``).
    group: before every ``group``-th update it may look ahead at the batches of that many.
    """

    demonstrations: str = "references"
    needs_start: bool = False
    group: int = 1

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """The loss of one mini-batch; ``progress`` in [0, 1) is the share of the training that is done."""
        raise NotImplementedError

    def look_ahead(self, batches: list[Batch], progress: list[float]) -> None:
        """What is best done at once for the next ``group`` mini-batches; ``loss`` gets each of them afterwards, in order."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """What is to be learned beside the policy, such as a critic."""
        return ()

    def state_dict(self) -> dict[str, Tensor]:
        """What a resumed training needs beside the policy and the generators."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Put back what ``state_dict`` gave."""


def checked(algorithm: Algorithm, output: Any) -> LossOutput:
    """``output`` of ``algorithm.loss``, if that is something to train on; what a new algorithm gets wrong is a UserError."""
    who = f"{type(algorithm).__name__}.loss gives"
    if not isinstance(output, LossOutput):
        raise UserError(f"{who} {_article(output)}; give a LossOutput(loss, tokens, …) of agents.algorithms")
    if not isinstance(output.loss, Tensor):
        raise UserError(
            f"{who} a loss that is {_article(output.loss)}; give a tensor that was computed from the policy's logits"
        )
    if output.loss.dim():
        raise UserError(f"{who} a loss of shape {list(output.loss.shape)}; give a scalar, say its mean")
    if not output.loss.requires_grad:
        raise UserError(f"{who} a loss without a gradient; compute it from the policy's logits, not detached or under no_grad")
    return output


def _article(value: object) -> str:
    """None, or the name of its type."""
    return "None" if value is None else f"a {type(value).__name__}"
