"""Divergences between the student's distribution q and the oracle's p: means over N positions, in nats, in float32.

``logits`` ``[N, V]`` are the student's, ``log_probs`` ``[N, V]`` the oracle's; -inf in the latter is fine. The gradient is the
student's. Each divergence is 0 for q = p alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from textgen_env.errors import UserError, unknown
from textgen_env.types import LOG_ZERO

Divergence = Callable[[Tensor, Tensor], Tensor]  # logits [N, V], log_probs [N, V] → scalar


def forward_kl(logits: Tensor, log_probs: Tensor) -> Tensor:
    """KL(p ‖ q): mean-seeking, q covers every token that p gives mass."""
    q, p = _pair(logits, log_probs)
    return _kl(p, q)


def reverse_kl(logits: Tensor, log_probs: Tensor) -> Tensor:
    """KL(q ‖ p): mode-seeking, q leaves out what p does. Where p is 0, log p counts as ``LOG_ZERO``."""
    q, p = _pair(logits, log_probs)
    return _kl(q, p)


def jsd(logits: Tensor, log_probs: Tensor, beta: float) -> Tensor:
    """The generalized Jensen–Shannon divergence over β(1 - β), which is continuous in β on all of [0, 1].

    JSD_β = β KL(p ‖ m) + (1 - β) KL(q ‖ m) with m = βp + (1 - β)q (Agarwal et al. 2024, section 2). It vanishes at both ends;
    divided by β(1 - β) it tends to KL(p ‖ q) at 0 and to KL(q ‖ p) at 1 (Huszár 2015), and is 4 JSD at ½.
    """
    if beta in (0, 1):
        return reverse_kl(logits, log_probs) if beta else forward_kl(logits, log_probs)
    q, p = _pair(logits, log_probs)
    m = torch.logaddexp(p + math.log(beta), q + math.log1p(-beta))
    return _kl(p, m) / (1 - beta) + _kl(q, m) / beta


def total_variation(logits: Tensor, log_probs: Tensor) -> Tensor:
    """½ Σ |p - q|, in [0, 1]: the probability that the best coupling of the two disagrees (Wen et al. 2023, f-distill)."""
    q, p = _pair(logits, log_probs)
    return (p.exp() - q.exp()).abs().sum(-1).mean() / 2


def divergence(name: str, beta: float) -> Divergence:
    """The divergence of that name; ``beta`` in [0, 1] is that of the generalized JSD."""
    if name not in NAMED:
        raise unknown("divergence", name, NAMED)
    if not 0 <= beta <= 1:
        raise UserError(
            f"beta={beta}: the generalized JSD's β lies between 0 (forward KL) and 1 (reverse KL)"
        )
    return NAMED[name](beta)


NAMED: dict[str, Callable[[float], Divergence]] = {
    "forward_kl": lambda beta: forward_kl,
    "reverse_kl": lambda beta: reverse_kl,
    "jsd": lambda beta: lambda logits, log_probs: jsd(logits, log_probs, beta),
    "total_variation": lambda beta: total_variation,
}


def _pair(logits: Tensor, log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """log q and log p."""
    return logits.float().log_softmax(-1), log_probs.float().clamp(min=LOG_ZERO)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q), averaged over positions."""
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()
