"""What needs sb3-contrib (extra: contrib)."""

from __future__ import annotations

from typing import Any

import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

from agents.interop.sb3 import put_heads


class MaskableTextPolicy(MaskableActorCriticPolicy):
    """``TextPolicy`` for MaskablePPO: of the tokens that the mask forbids, none is written.  Its kwargs: ``around(policy)``.

    The logits are float64: sb3-contrib 2.2 checks that probabilities sum to 1 within 1e-6; thousands of float32 ones do not.
    """

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        put_heads(self, lr_schedule, torch.float64)
