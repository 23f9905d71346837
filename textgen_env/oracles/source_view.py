"""What an oracle sees instead of the student's source: another prompt, privileged context."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.oracles.references import source_key
from textgen_env.types import pad


class SourceView:
    """Maps the student's sources to the teacher's, by their tokens.

    Args:
        splits: with ``teacher_source``.

    Raises:
        UserError: The same source has two different prompts of the teacher.
    """

    def __init__(self, splits: Iterable[Split]) -> None:
        self._views: dict[bytes, np.ndarray] = {}
        for split in splits:
            for source, view in zip(split.source, split.teacher_source, strict=True):
                known = self._views.setdefault(source_key(source), view)
                if not np.array_equal(known, view):
                    raise UserError(
                        "two rows with the same prompt have different prompts for the teacher; "
                        "keep one of them"
                    )

    def __call__(self, source: Tensor) -> Tensor:
        """The teacher's sources ``[B, S']`` for the student's ``[B, S]``, on the same device."""
        rows = source.cpu().numpy()
        try:
            views = [self._views[source_key(tokens)] for tokens in rows]
        except KeyError:
            raise UserError("this source has no prompt for the teacher") from None
        return torch.from_numpy(pad(views, max(map(len, views)))).to(source.device)


def source_view(splits: Iterable[Split]) -> SourceView | None:
    """The view of a task's splits; None if the teacher sees what the student sees."""
    splits = list(splits)
    return SourceView(splits) if any(split.teacher_source for split in splits) else None
