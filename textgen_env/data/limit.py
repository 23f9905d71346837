"""The length limit of generated text."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from textgen_env.errors import Range, UserError, check_kind, check_range

if TYPE_CHECKING:
    from torch import Tensor

Count = TypeVar("Count", int, np.ndarray, "Tensor")
MAX_LENGTH = 65_536  # tokens of a source or an episode; environments allocate arrays of this width
RATIO, OFFSET = Range(0, 1000), Range(1, MAX_LENGTH)
MAX_DENOMINATOR = 10**6  # ratios are exact fractions (1.2 is 6/5), so no limit depends on rounding


@dataclass(frozen=True)
class Limit:
    """Maximum number of actions for a source of S tokens: ⌈a·S⌉ + b, at most the horizon.

    Environments, rollouts, beam search, demonstrations and evaluation all use it.

    Args:
        horizon: T, maximum number of actions of any episode, including EOS.
        ratio: a. If ratio and offset are None, the horizon is the only limit.
        offset: b.

    Raises:
        UserError: A value is out of range, or only one of ratio and offset is given.
    """

    horizon: int
    ratio: float | None = None
    offset: int | None = None

    def __post_init__(self) -> None:
        check_range("horizon", self.horizon, Range(1, MAX_LENGTH))
        if self.ratio is None and self.offset is None:
            return
        if self.ratio is None or self.offset is None:
            values = f"limit_ratio={self.ratio} limit_offset={self.offset}"
            raise UserError(f"{values}: give both, or neither to limit by the horizon alone")
        check_kind("limit_ratio", self.ratio, 1.0)
        check_kind("limit_offset", self.offset, 1)
        check_range("limit_ratio", self.ratio, RATIO)
        check_range("limit_offset", self.offset, OFFSET)

    def __call__(self, source_length: Count) -> Count:
        """Compute the limit for sources of ``source_length`` tokens, including EOS.

        Args:
            source_length: S, a number or an int64 array or tensor of any shape.

        Returns:
            The limit, at least 1, with the type and shape of ``source_length``.
        """
        numerator, denominator, offset = self._line
        limit = -(-source_length * numerator // denominator) + offset
        return min(limit, self.horizon) if isinstance(limit, int) else limit.clip(max=self.horizon)

    def code(self, name: str) -> str:
        """Return the limit as a Python expression of the variable ``name``, for exported code."""
        numerator, denominator, offset = self._line
        return f"min({self.horizon}, -(-{name} * {numerator} // {denominator}) + {offset})"

    def __str__(self) -> str:
        if self.ratio is None:
            return f"{self.horizon} tokens"
        return f"{self.ratio:g} · source + {self.offset} tokens, at most {self.horizon}"

    @cached_property
    def _line(self) -> tuple[int, int, int]:
        """(numerator, denominator, offset): integers, so all types of ``Count`` round alike."""
        ratio = Fraction(float(min(self.ratio or 0, self.horizon)))
        ratio = ratio.limit_denominator(MAX_DENOMINATOR)
        offset = self.horizon if self.offset is None else min(self.offset, self.horizon)
        return ratio.numerator, ratio.denominator, offset
