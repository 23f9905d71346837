"""One split of a corpus in tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textgen_env.data.corpus import Pairs


@dataclass(frozen=True)
class Split:
    """One split in tokens; row i is the i-th pair that was kept.

    source[i], target[i]: 1-D int64, EOS last, no PAD or BOS.  texts: the same rows as text, every reference.
    skipped: training pairs left out because a side is longer than its limit.
    cut, truncated_targets: sources and training targets cut to their limit.  A task either skips or cuts in training.
    """

    source: list[np.ndarray]
    target: list[np.ndarray]
    texts: Pairs
    skipped: int = 0
    truncated: int = 0
    truncated_targets: int = 0

    def __len__(self) -> int:
        return len(self.source)
