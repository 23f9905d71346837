"""The one rule for how long an output may be."""

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
MAX_LENGTH = (
    65_536  # tokens of a source or an episode: every environment holds arrays of that width
)
RATIO, OFFSET = Range(0, 1000), Range(1, MAX_LENGTH)
DECIMALS = 10**6  # the largest denominator of a ratio: 1.2 is 6/5, and no limit depends on rounding


@dataclass(frozen=True)
class Limit:
    """The most actions that may be generated for a source of S tokens: a·S + b rounded up, at most the horizon.

    Environments, rollouts, beam search, demonstrations and evaluation all use it.

    Args:
        horizon: T, the most actions of any episode, EOS included
        ratio: a
        offset: b; both None where the horizon is the only limit

    Raises:
        UserError: one is out of range, or only one of ratio and offset is given.
    """

    horizon: int
    ratio: float | None = None
    offset: int | None = None

    def __post_init__(self) -> None:
        check_range("horizon", self.horizon, Range(1, MAX_LENGTH))
        if self.ratio is None and self.offset is None:
            return
        if self.ratio is None or self.offset is None:
            given = f"limit_ratio={self.ratio} limit_offset={self.offset}"
            raise UserError(f"{given}: give both, or neither for a limit that is the horizon")
        check_kind("limit_ratio", self.ratio, 1.0)
        check_kind("limit_offset", self.offset, 1)
        check_range("limit_ratio", self.ratio, RATIO)
        check_range("limit_offset", self.offset, OFFSET)

    def __call__(self, source_length: Count) -> Count:
        """The limit of sources of ``source_length`` tokens, EOS included.

        Args:
            source_length: S: a number, or int64 numbers ``[...]``

        Returns:
            At least 1; of the type and shape of ``source_length``.
        """
        numerator, denominator, offset = self._line
        limit = -(-source_length * numerator // denominator) + offset
        return min(limit, self.horizon) if isinstance(limit, int) else limit.clip(max=self.horizon)

    def code(self, name: str) -> str:
        """The rule as a Python expression of the variable ``name``, for a program without this package."""
        numerator, denominator, offset = self._line
        return f"min({self.horizon}, -(-{name} * {numerator} // {denominator}) + {offset})"

    def __str__(self) -> str:
        if self.ratio is None:
            return f"{self.horizon} tokens"
        return f"{self.ratio:g} · source + {self.offset} tokens, at most {self.horizon}"

    @cached_property
    def _line(self) -> tuple[int, int, int]:
        """A as a fraction, and b; whole numbers, so that arrays and tensors are rounded as numbers are."""
        ratio = Fraction(float(min(self.ratio or 0, self.horizon))).limit_denominator(DECIMALS)
        offset = self.horizon if self.offset is None else min(self.offset, self.horizon)
        return ratio.numerator, ratio.denominator, offset
