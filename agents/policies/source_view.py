"""A policy that sees other sources than the student: a teacher with privileged context."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from textgen_env.types import Policy


class SourceViewPolicy(nn.Module):
    """``policy`` on ``view(source)``; a ``textgen_env.types.Policy``.

    Args:
        policy: The policy.
        view: Maps sources ``[B, S]`` to those that the policy sees, ``[B, S']``.
    """

    def __init__(self, policy: Any, view: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.policy: Policy = policy
        self.view, self.head, self.step = view, policy.head, policy.step
        self.vocabulary_size = policy.vocabulary_size
        self.feature_width = policy.feature_width

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Policy.__call__``."""
        return self.policy(self.view(source), prefix, mask)

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """See ``Policy.features``."""
        return self.policy.features(self.view(source), prefix, mask)

    def start(self, source: Tensor, limit: int) -> Any:
        """See ``Policy.start``."""
        return self.policy.start(self.view(source), limit)
