"""The losses of distillation, over the N real positions of a batch.  All are computed in float32, in nats, and averaged."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from agents.policy import Policy
from textgen_env.types import Batch

LOGITS = 1 << 26  # a quarter of a gigabyte in float32, and as much for their gradient


def nll(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Negative log-likelihood of ``target`` ``[N]`` under ``logits`` ``[N, V]``; L_opt if the targets are the oracle's actions.

    smoothing: mass spread evenly over the vocabulary (Szegedy et al. 2016, section 7).
    """
    return F.cross_entropy(logits.float(), target, label_smoothing=smoothing)


def cloning(policy: Policy, batch: Batch, action: Tensor, smoothing: float = 0.0) -> Tensor:
    """``nll`` of ``action`` ``[N]`` at the N real positions of ``batch``, with at most ``LOGITS`` logits in memory at once.

    Where N·V are more, the output layer and the loss go over the positions in chunks, and once more backwards.
    """
    features = policy.features(batch.source, batch.prefix, batch.mask)  # [N, D]
    size = max(1, LOGITS // policy.vocabulary_size)
    if len(features) <= size:
        return nll(policy.logits(features), action, smoothing)

    def part(features: Tensor, action: Tensor) -> Tensor:
        return nll(policy.logits(features), action, smoothing) * len(action)

    chunks = zip(features.split(size), action.split(size), strict=True)
    losses = [checkpoint(part, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks]
    return torch.stack(losses).sum() / len(action)


def cross_entropy(logits: Tensor, log_probs: Tensor) -> Tensor:
    """L_full: cross-entropy of the student ``logits`` ``[N, V]`` under the oracle's ``log_probs`` ``[N, V]``.

    It differs from KL(oracle ‖ student) by the oracle's entropy, which has no gradient.  -inf in ``log_probs`` is fine.
    """
    return F.cross_entropy(logits.float(), log_probs.float().exp())


def entropy(log_probs: Tensor) -> Tensor:
    """Mean entropy of the oracle's distributions ``[N, V]``: what ``cross_entropy`` cannot go below."""
    return -(log_probs.exp() * log_probs.clamp(min=-1e4)).sum(-1).mean()
