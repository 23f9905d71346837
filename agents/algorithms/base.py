"""The base class of all algorithms, and the checks on the losses they return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from agents.losses.loss import Loss
from textgen_env.errors import UserError
from textgen_env.randomness import uniform
from textgen_env.types import Batch

UPDATES_PER_ROUND = 64  # the trainer saves and stops only between rounds


@dataclass(frozen=True)
class Clock:
    """The training step, and the random numbers that belong to it."""

    seed: int
    step: int
    steps: int

    @property
    def progress(self) -> float:
        """Completed fraction of the training, in [0, 1)."""
        return self.step / self.steps

    def later(self, updates: int) -> Clock:
        """The clock ``updates`` optimizer steps later."""
        return replace(self, step=self.step + updates)

    def uniform(self, purpose: str, row: Tensor, *shape: int) -> Tensor:
        """Uniform random numbers ``[B, *shape]`` in [0, 1).

        They depend only on the seed, the step, ``purpose`` and the row of the global batch.
        """
        return uniform((self.seed, self.step), purpose, row, *shape)


class Algorithm(nn.Module):
    """An algorithm is a roll-in, a label and a loss. Subclasses define ``loss`` or ``updates``.

    ``loss`` is enough for one update per batch. ``updates`` is for algorithms that take several
    optimizer steps per batch or need several batches at once.

    Policies and oracles assigned to attributes are not registered as submodules: the trainer
    optimizes and saves the policy. State that must survive a resume is a buffer, a parameter or
    ``get_extra_state``, as in any ``nn.Module``.

    Attributes:
        demonstrations: target sequences of the batches: "references", "teacher" (the teacher's
            most likely beam hypothesis) or "best_of_beam" (the hypothesis with the best score).
        uses_targets: whether it learns from the targets of the batches or continues them; if not,
            prompts without an answer are enough.
        needs_start: whether the student must be trained already when training starts.
        batches_per_round: how many batches ``updates`` gets at once.
        updates_per_batch: how many optimizer steps a batch is used for, which turns epochs into
            steps.
        oracle: the Oracle whose queries the trainer counts, or None.
    """

    demonstrations: str = "references"
    uses_targets: bool = True
    needs_start: bool = False
    batches_per_round: int = 1
    updates_per_batch: int = 1
    oracle: Any = None

    def loss(self, batch: Batch, clock: Clock) -> Tensor | Loss:
        """The loss of one batch. A plain scalar is the mean over the batch's real tokens."""
        raise NotImplementedError

    def updates(self, batches: list[Batch], clock: Clock) -> Iterator[Tensor | Loss]:
        """The losses of one round. The trainer takes one optimizer step for each.

        With ``train.accumulate`` this runs once for each part of the batches. The parts take turns:
        a step adds up one loss of every part. State that they share should change in ``updated``,
        or before ``updates`` returns an iterator, which happens in every part before the first
        loss.
        """
        for number, batch in enumerate(batches):
            yield self.loss(batch, clock.later(number))

    def updated(self) -> None:
        """Hook that the trainer calls after each optimizer step; here for the submodules."""
        for module in self.children():
            if hook := getattr(module, "updated", None):
                hook()

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Hook that the trainer calls after each validation, with its metrics."""

    def __setattr__(self, name: str, value: Any) -> None:
        if is_policy(value) or (isinstance(value, nn.Module) and is_oracle(value)):
            self.__dict__[name] = value
        else:
            if isinstance(value, nn.Module | nn.Parameter):
                check_initialized(self)
            super().__setattr__(name, value)


def is_policy(value: Any) -> bool:
    """Whether ``value`` is a module that implements the ``Policy`` protocol."""
    return isinstance(value, nn.Module) and all(
        hasattr(value, name) for name in ("features", "head", "start", "step")
    )


def is_oracle(value: Any) -> bool:
    """Whether ``value`` implements the ``Oracle`` protocol."""
    return all(hasattr(value, name) for name in ("queries", "log_probs", "action"))


def check_initialized(algorithm: Algorithm) -> None:
    """Raise UserError if the subclass did not call ``super().__init__()``."""
    if "_modules" not in vars(algorithm):
        raise UserError(
            f"{type(algorithm).__name__}.__init__ does not call super().__init__(); call it first"
        )


def iterate_updates(algorithm: Algorithm, batches: list[Batch], clock: Clock) -> Iterator[Any]:
    """Iterate over ``algorithm.updates``; raise UserError if it returns no iterable."""
    updates = algorithm.updates(batches, clock)
    try:
        return iter(updates)
    except TypeError:
        raise UserError(
            f"{type(algorithm).__name__}.updates returns {_describe(updates)}; "
            "yield losses, or return a list of them"
        ) from None


def loss_origin(algorithm: Algorithm) -> str:
    """Where losses come from, for messages: "Name.loss returns" or "Name.updates yields"."""
    overridden = ({"loss", "updates"} & vars(kind).keys() for kind in type(algorithm).__mro__)
    by_updates = "updates" in next(filter(None, overridden))
    return f"{type(algorithm).__name__}.{'updates yields' if by_updates else 'loss returns'}"


def as_loss(algorithm: Algorithm, output: Any, tokens: int, partial: bool = False) -> Loss:
    """Check one item of ``algorithm.updates`` and return it as a ``Loss``.

    Args:
        algorithm: named in error messages.
        output: a ``Loss``, or a scalar tensor: the mean over ``tokens`` positions.
        tokens: number of real tokens in the batch.
        partial: it is the loss of a part of a batch, whose weight may be 0.

    Raises:
        UserError: the output cannot be trained on; the message says what is expected.
    """
    origin = loss_origin(algorithm)
    loss = Loss(output * tokens, tokens) if isinstance(output, Tensor) else output
    if not isinstance(loss, Loss):
        raise UserError(
            f"{origin} {_describe(loss)}; "
            "give a scalar tensor or a Loss(sum, weight, metrics) of agents.algorithms"
        )
    if not isinstance(loss.sum, Tensor) or loss.sum.dim():
        raise UserError(
            f"{origin} a sum that is {_describe(loss.sum)}; "
            "give a scalar tensor computed from the policy's logits"
        )
    if not partial:
        check_weight(algorithm, loss.weight)
    if loss.weight and not loss.sum.requires_grad:
        raise UserError(
            f"{origin} a loss without a gradient; "
            "compute it from the policy's logits, not detached or under no_grad"
        )
    for name, metric in loss.metrics.items():
        if not isinstance(metric, Tensor | float | int) or (
            isinstance(metric, Tensor) and metric.dim()
        ):
            raise UserError(
                f"{origin} a metric {name!r} that is {_describe(metric)}; "
                "give a number or a scalar tensor"
            )
    return loss


def check_weight(algorithm: Algorithm, weight: int) -> None:
    """UserError unless ``weight``, that of a loss, is positive."""
    if weight <= 0:
        raise UserError(
            f"{loss_origin(algorithm)} a Loss with the weight {weight}; "
            "give the number of positions or episodes"
        )


def _describe(value: Any) -> str:
    """The type of ``value``, and its shape if it is a tensor."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"
