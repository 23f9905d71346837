"""Divergences between the student's distribution q and the oracle's p.

All take the student's ``logits`` ``[N, V]`` and the oracle's ``log_probs`` ``[N, V]`` (-inf is
allowed) and return the mean over N positions, in nats and float32. Gradients flow to the logits.
Each divergence is 0 if and only if q = p.
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
    """KL(p ‖ q), mean-seeking: q must cover every token that has mass under p."""
    q, p = _log_q_and_p(logits, log_probs)
    return _kl(p, q)


def reverse_kl(logits: Tensor, log_probs: Tensor) -> Tensor:
    """KL(q ‖ p), mode-seeking: q avoids tokens without mass under p. Uses log 0 = ``LOG_ZERO``."""
    q, p = _log_q_and_p(logits, log_probs)
    return _kl(q, p)


def jsd(logits: Tensor, log_probs: Tensor, beta: float) -> Tensor:
    """The generalized Jensen-Shannon divergence, divided by β(1 - β).

    JSD_β = β KL(p ‖ m) + (1 - β) KL(q ‖ m) with m = βp + (1 - β)q (Agarwal et al. 2024, section 2).
    It vanishes at β = 0 and 1. Divided by β(1 - β) it is continuous on [0, 1], with the limits
    KL(p ‖ q) at 0 and KL(q ‖ p) at 1; that is the scale of Huszár 2015. TRL's
    ``generalized_jsd_loss`` has the scale of Agarwal et al. for 0 < β < 1: β(1 - β) times ours, a
    quarter of it at ½, and the same KLs as ours at 0 and 1.
    """
    if beta in (0, 1):
        return reverse_kl(logits, log_probs) if beta else forward_kl(logits, log_probs)
    q, p = _log_q_and_p(logits, log_probs)
    m = _log_mixture(p, q, beta)
    return _kl(p, m) / (1 - beta) + _kl(q, m) / beta


def skew_kl(logits: Tensor, log_probs: Tensor, alpha: float) -> Tensor:
    """The α-skew KL(p ‖ αp + (1 - α)q), finite for every q if α > 0 (Ko et al. 2024, equation 4).

    ``alpha`` lies in [0, 1); at 0 it is KL(p ‖ q).
    """
    q, p = _log_q_and_p(logits, log_probs)
    return _kl(p, _log_mixture(p, q, alpha))


def skew_reverse_kl(logits: Tensor, log_probs: Tensor, alpha: float) -> Tensor:
    """The α-skew reverse KL(q ‖ αq + (1 - α)p) (Ko et al. 2024, section 3.1).

    ``alpha`` lies in [0, 1); at 0 it is KL(q ‖ p).
    """
    q, p = _log_q_and_p(logits, log_probs)
    return _kl(q, _log_mixture(q, p, alpha))


def total_variation(logits: Tensor, log_probs: Tensor) -> Tensor:
    """The total variation distance ½ Σ |p - q|, in [0, 1] (Wen et al. 2023, f-distill)."""
    q, p = _log_q_and_p(logits, log_probs)
    return (p.exp() - q.exp()).abs().sum(-1).mean() / 2


def make_divergence(name: str, beta: float) -> Divergence:
    """Return the divergence ``name``; ``beta`` in [0, 1] is the β of jsd."""
    if name not in DIVERGENCES:
        raise unknown("divergence", name, DIVERGENCES)
    if not 0 <= beta <= 1:
        raise UserError(
            f"beta={beta}: the generalized JSD's β lies between 0 (forward KL) and 1 (reverse KL)"
        )
    return DIVERGENCES[name](beta)


DIVERGENCES: dict[str, Callable[[float], Divergence]] = {
    "forward_kl": lambda beta: forward_kl,
    "reverse_kl": lambda beta: reverse_kl,
    "jsd": lambda beta: lambda logits, log_probs: jsd(logits, log_probs, beta),
    "total_variation": lambda beta: total_variation,
}


def _log_q_and_p(logits: Tensor, log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Log q and log p, finite and in float32."""
    return logits.float().log_softmax(-1), log_probs.float().clamp(min=LOG_ZERO)


def _log_mixture(log_p: Tensor, log_q: Tensor, weight: float) -> Tensor:
    """The log-probabilities of ``weight`` · p + (1 - ``weight``) · q, for a weight in [0, 1)."""
    if not weight:
        return log_q
    return torch.logaddexp(log_p + math.log(weight), log_q + math.log1p(-weight))


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q), averaged over positions."""
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()
