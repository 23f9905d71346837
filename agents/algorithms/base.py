"""What an algorithm is: it turns batches into losses; the trainer does everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from agents.losses.loss import Loss
from textgen_env.errors import UserError
from textgen_env.randomness import uniform
from textgen_env.types import Batch

UPDATES_PER_ROUND = 64  # between two chances to save and stop


@dataclass(frozen=True)
class Clock:
    """Where a training stands, and the key of its randomness."""

    seed: int
    step: int
    steps: int

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1)."""
        return self.step / self.steps

    def later(self, updates: int) -> Clock:
        """The clock after ``updates`` more updates."""
        return replace(self, step=self.step + updates)

    def uniform(self, purpose: str, row: Tensor, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), ``[B, *shape]``: a row of the batch always gets the same at this step."""
        return uniform((self.seed, self.step), purpose, row, *shape)


class Algorithm(nn.Module):
    """roll-in × label × loss. A subclass defines ``loss``; ``updates`` is for more than one update a batch, or a group.

    A policy or oracle that is assigned to an attribute is held, not registered: it is trained, saved and switched between
    modes by others. What has to survive a resume is a buffer, a parameter or ``get_extra_state``, as in any module.

    Attributes:
        demonstrations: the sequences of its batches: "references", the best of the teacher's beam ("teacher"), or the one
            with the best sentence score ("best_of_beam").
        needs_start: it only improves a policy that can already generate, so that it does not start from fresh weights.
        batches_per_round: how many batches ``updates`` gets at once.
        oracle: an Oracle whose queries the trainer counts, or None.
    """

    demonstrations: str = "references"
    needs_start: bool = False
    batches_per_round: int = 1
    oracle: Any = None

    def loss(self, batch: Batch, clock: Clock) -> Tensor | Loss:
        """The loss of one batch. A plain scalar is the mean over the batch's real tokens."""
        raise NotImplementedError

    def updates(self, batches: list[Batch], clock: Clock) -> Iterator[Tensor | Loss]:
        """One round: each loss that it yields is one optimizer step."""
        for number, batch in enumerate(batches):
            yield self.loss(batch, clock.later(number))

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Called with the metrics of each validation."""

    def __setattr__(self, name: str, value: Any) -> None:
        if is_policy(value) or (isinstance(value, nn.Module) and is_oracle(value)):
            self.__dict__[name] = value
        else:
            if isinstance(value, nn.Module | nn.Parameter):
                check_initialized(self)
            super().__setattr__(name, value)


def is_policy(value: Any) -> bool:
    """Whether ``value`` is a module that generates, as the ``Policy`` protocol has it."""
    return isinstance(value, nn.Module) and all(
        hasattr(value, name) for name in ("features", "head", "start", "step")
    )


def is_oracle(value: Any) -> bool:
    """Whether ``value`` answers and counts queries, as the ``Oracle`` protocol has it."""
    return all(hasattr(value, name) for name in ("queries", "log_probs", "action"))


def check_initialized(algorithm: Algorithm) -> None:
    """UserError where its ``__init__`` did not call that of ``Algorithm``."""
    if "_modules" not in vars(algorithm):
        raise UserError(
            f"{type(algorithm).__name__}.__init__ does not call super().__init__(); call it first"
        )


def started(algorithm: Algorithm, batches: list[Batch], clock: Clock) -> Iterator[Any]:
    """What ``algorithm.updates`` yields, or the items of what it returns; UserError where that is neither."""
    updates = algorithm.updates(batches, clock)
    try:
        return iter(updates)
    except TypeError:
        who = f"{type(algorithm).__name__}.updates"
        raise UserError(
            f"{who} returns {_kind(updates)}; yield losses, or return a list of them"
        ) from None


def source(algorithm: Algorithm) -> str:
    """Where its losses come from, for messages: "MyAlgorithm.loss gives" or "MyAlgorithm.updates yields"."""
    last = next(kind for kind in type(algorithm).__mro__ if {"loss", "updates"} & vars(kind).keys())
    own = "updates" in vars(last) and last is not Algorithm
    return f"{type(algorithm).__name__}.{'updates yields' if own else 'loss gives'}"


def as_loss(algorithm: Algorithm, output: Any, tokens: int) -> Loss:
    """``output``, an item of ``algorithm.updates``, as a ``Loss``.

    Args:
        algorithm: for messages.
        output: a ``Loss``, or a scalar: the mean over ``tokens`` positions.
        tokens: real tokens of the batch.

    Raises:
        UserError: there is nothing to train on; says what to yield instead.
    """
    who = source(algorithm)
    loss = Loss(output * tokens, tokens) if isinstance(output, Tensor) else output
    if not isinstance(loss, Loss):
        raise UserError(
            f"{who} {_kind(loss)}; give a scalar tensor or a Loss(sum, weight, metrics) of agents.algorithms"
        )
    if not isinstance(loss.sum, Tensor) or loss.sum.dim():
        raise UserError(
            f"{who} a sum that is {_kind(loss.sum)}; give a scalar tensor computed from the policy's logits"
        )
    if not loss.sum.requires_grad:
        raise UserError(
            f"{who} a loss without a gradient; compute it from the policy's logits, not detached or under no_grad"
        )
    if loss.weight <= 0:
        raise UserError(
            f"{who} a Loss with the weight {loss.weight}; give the number of positions or episodes"
        )
    for name, metric in loss.metrics.items():
        if not isinstance(metric, Tensor | float | int) or (
            isinstance(metric, Tensor) and metric.dim()
        ):
            raise UserError(
                f"{who} a metric {name!r} that is {_kind(metric)}; give a number or a scalar tensor"
            )
    return loss


def _kind(value: Any) -> str:
    """What ``value`` is, for messages."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"
