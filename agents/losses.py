"""The losses of distillation, over the N real positions of a batch.  All are computed in float32, in nats, and averaged."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def nll(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Negative log-likelihood of ``target`` ``[N]`` under ``logits`` ``[N, V]``; L_opt if the targets are the oracle's actions.

    smoothing: mass spread evenly over the vocabulary (Szegedy et al. 2016, section 7).
    """
    return F.cross_entropy(logits.float(), target, label_smoothing=smoothing)


def cross_entropy(logits: Tensor, log_probs: Tensor) -> Tensor:
    """L_full: cross-entropy of the student ``logits`` ``[N, V]`` under the oracle's ``log_probs`` ``[N, V]``.

    It differs from KL(oracle ‖ student) by the oracle's entropy, which has no gradient.  -inf in ``log_probs`` is fine.
    """
    return F.cross_entropy(logits.float(), log_probs.float().exp())


def entropy(log_probs: Tensor) -> Tensor:
    """Mean entropy of the oracle's distributions ``[N, V]``: what ``cross_entropy`` cannot go below."""
    return -(log_probs.exp() * log_probs.clamp(min=-1e4)).sum(-1).mean()
