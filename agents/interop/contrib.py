"""What needs sb3-contrib (extra: contrib)."""

from __future__ import annotations

from typing import Any

from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

from agents.interop.sb3 import put_heads


class MaskableTextPolicy(MaskableActorCriticPolicy):
    """``TextPolicy`` for MaskablePPO: of the tokens that the mask forbids, none is written.  Its kwargs: ``around(policy)``."""

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        put_heads(self, lr_schedule)
