"""One split of a tokenized corpus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textgen_env.data.corpus import Pairs


@dataclass(frozen=True)
class Split:
    """A tokenized split; row i is the i-th pair that was kept.

    A task either skips overlong training pairs or truncates them.

    Args:
        source: Token ids per row, 1-D int64, ending in EOS, without PAD and BOS.
        target: The same for the training targets.
        texts: The text of the same rows, with every reference.
        skipped: Number of training pairs left out because a side exceeds its limit.
        truncated: Number of sources truncated to their limit.
        truncated_targets: Number of training targets truncated to their limit.
    """

    source: list[np.ndarray]
    target: list[np.ndarray]
    texts: Pairs
    skipped: int = 0
    truncated: int = 0
    truncated_targets: int = 0

    def __len__(self) -> int:
        return len(self.source)
