"""One split of a tokenized corpus."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

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
        shortened: Number of conversations that lost their oldest turns to fit the limit.
        teacher_source: What the teacher sees instead of ``source``; empty if it sees the same.
    """

    source: list[np.ndarray]
    target: list[np.ndarray]
    texts: Pairs
    skipped: int = 0
    truncated: int = 0
    truncated_targets: int = 0
    shortened: int = 0
    teacher_source: list[np.ndarray] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.source)

    def rows(self, index: list[int]) -> Split:
        """Select the rows at ``index``, in that order."""
        source, target, teacher_source = (
            [rows[i] for i in index] if rows else []
            for rows in (self.source, self.target, self.teacher_source)
        )
        return replace(
            self,
            source=source,
            target=target,
            texts=self.texts.rows(index),
            teacher_source=teacher_source,
        )

    @property
    def has_references(self) -> bool:
        """Whether there are references; a split of prompts alone has an empty one per row."""
        return any(references[0] for references in self.texts.references)
