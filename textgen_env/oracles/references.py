"""Human references as an oracle."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from textgen_env.data.split import Split
from textgen_env.errors import Range, UserError, check_range
from textgen_env.oracles.exact import smoothed_log_probs
from textgen_env.profiler import phase
from textgen_env.types import EOS, Trajectories, pad


class ReferenceOracle:
    """At step t takes the reference's t-th token, whatever the prefix, and EOS after its end.

    That is correct only in the states that the reference visits.

    Args:
        splits: the references, looked up by source; of repeated sources, the first counts
        vocabulary_size: V
        smoothing: probability of all other tokens together, which keeps log-probabilities finite
    """

    def __init__(
        self, splits: Iterable[Split], vocabulary_size: int, smoothing: float = 0.01
    ) -> None:
        check_range("smoothing", smoothing, Range(0, 1, "both"))
        self.vocabulary_size, self.smoothing = vocabulary_size, smoothing
        self.queries = 0
        self._splits = list(splits)

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Oracle.log_probs``."""
        action = self.action(source, prefix, mask)
        return smoothed_log_probs(action, self.vocabulary_size, self.smoothing)

    @phase("teacher")
    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Oracle.action``."""
        action = torch.full(prefix.shape, EOS)
        for row, target in enumerate(self._references(source)):
            target = target[: prefix.shape[1]]
            action[row, : len(target)] = torch.from_numpy(target)
        action = action if mask is None else action[mask.cpu()]
        self.queries += action.numel()
        return action.to(prefix.device)

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """See ``Oracle.demonstrate``: the references, truncated at the limit."""
        limits = torch.as_tensor(limit).expand(len(source)).tolist()
        targets = [target[:n] for target, n in zip(self._references(source), limits, strict=True)]
        length = torch.tensor([len(target) for target in targets], device=source.device)
        self.queries += int(length.sum())
        action = torch.from_numpy(pad(targets, int(length.max()))).to(source.device)
        return Trajectories(action, length, length * math.log1p(-self.smoothing))

    def _references(self, source: Tensor) -> list[np.ndarray]:
        try:
            return [self._targets[source_key(tokens)] for tokens in source.cpu().numpy()]
        except KeyError:
            raise UserError(
                "the reference oracle has no reference for this source; use a trained teacher"
            ) from None

    @cached_property
    def _targets(self) -> dict[bytes, np.ndarray]:
        """``{source: target}``."""
        targets: dict[bytes, np.ndarray] = {}
        for split in self._splits:
            for source, target in zip(split.source, split.target, strict=True):
                targets.setdefault(source_key(source), target)
        return targets


def source_key(tokens: np.ndarray) -> bytes:
    """A dictionary key, equal with and without padding (PAD is 0)."""
    return tokens.tobytes().rstrip(b"\0")
