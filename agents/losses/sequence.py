"""Losses over the N real positions of a batch: imitating actions, and imitating distributions.

All are computed in float32, in nats.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from agents.losses.loss import Loss
from textgen_env.errors import Range, check_range
from textgen_env.oracles.policy import keep_top
from textgen_env.types import LOG_ZERO, Batch, Oracle, Policy

PositionLoss = Callable[
    [Tensor, Tensor], Tensor
]  # logits [n, V], log-probabilities [n, V] or tokens [n] → their mean
CHUNK = 1 << 25  # the student's logits that are in memory at once


def nll(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Negative log-likelihood of ``target`` ``[N]`` under ``logits`` ``[N, V]``; L_opt if the targets are the oracle's.

    Args:
        logits: ``[N, V]``.
        target: ``[N]``.
        smoothing: mass spread evenly over the vocabulary (Szegedy et al. 2016, section 7).
    """
    return F.cross_entropy(logits.float(), target, label_smoothing=smoothing)


def cross_entropy(logits: Tensor, log_probs: Tensor) -> Tensor:
    """L_full: cross-entropy of the student ``logits`` ``[N, V]`` under the oracle's ``log_probs`` ``[N, V]``.

    It differs from KL(oracle ‖ student) by the oracle's entropy, which has no gradient. -inf in ``log_probs`` is fine.
    """
    return F.cross_entropy(logits.float(), log_probs.float().exp())


def checked_smoothing(label_smoothing: float) -> float:
    """``label_smoothing``; UserError unless it is in [0, 1)."""
    check_range("label_smoothing", label_smoothing, Range(0, 1, "most"))
    return label_smoothing


def clone(policy: Policy, batch: Batch, action: Tensor, smoothing: float = 0.0) -> Loss:
    """``nll`` of ``action`` ``[N]`` at the N real positions of ``batch``."""
    features = policy.features(batch.source, batch.prefix, batch.mask_cpu)  # [N, D]
    total = features.new_zeros((), dtype=torch.float32)
    for _, positions in chunks(batch, policy.vocabulary_size):
        total = total + _chunk(
            policy, features, positions, action[positions], lambda x, y: nll(x, y, smoothing)
        )
    return Loss(total, len(features))


def distill(
    policy: Policy, oracle: Oracle, batch: Batch, loss: PositionLoss, top_k: int = 0
) -> Loss:
    """``loss`` of the student's logits and the oracle's log-probabilities at the N real positions of ``batch``.

    The student's logits are in memory a chunk at a time. The oracle is queried once, so its N·V log-probabilities stay
    until the gradient is there.

    Args:
        policy: the student.
        oracle: queried once at every position.
        batch: whose prefixes are imitated on.
        loss: the mean over its positions of a cross-entropy or a divergence.
        top_k: the oracle's distributions are cut to their k most probable tokens; 0: whole.

    Returns:
        The loss, with the metric "kl": its excess over the oracle's entropy, which is KL(oracle ‖ student) for
        ``cross_entropy``.
    """
    features = policy.features(batch.source, batch.prefix, batch.mask_cpu)  # [N, D]
    total = features.new_zeros((), dtype=torch.float32)
    entropy = torch.zeros_like(total)
    for rows, positions in chunks(batch, policy.vocabulary_size):
        log_probs = keep_top(
            oracle.log_probs(batch.source[rows], batch.prefix[rows], batch.mask_cpu[rows]), top_k
        )  # [n, V]
        total = total + _chunk(policy, features, positions, log_probs, loss)
        if loss is cross_entropy:
            entropy -= (log_probs.float().exp() * log_probs.clamp(min=LOG_ZERO)).sum()
    metrics = {"kl": (total.detach() - entropy) / len(features)} if loss is cross_entropy else {}
    return Loss(total, len(features), metrics)


def chunks(batch: Batch, vocabulary_size: int) -> Iterator[tuple[slice, slice]]:
    """Consecutive rows whose logits fit ``CHUNK``, at least one, and which of the N real positions are theirs."""
    ends, row, position = list(accumulate(batch.length.tolist())), 0, 0
    while row < len(ends):
        last = max(row + 1, bisect_right(ends, position + CHUNK // vocabulary_size))
        yield slice(row, last), slice(position, ends[last - 1])
        row, position = last, ends[last - 1]


def _chunk(
    policy: Policy, features: Tensor, positions: slice, label: Tensor, loss: PositionLoss
) -> Tensor:
    """The sum of ``loss`` over a chunk. The logits of one of several are dropped, and computed again for the gradient."""
    chunk = features[positions]

    def total(chunk: Tensor, label: Tensor) -> Tensor:
        return loss(policy.head(chunk), label) * len(chunk)

    if len(chunk) == len(features) or not torch.is_grad_enabled():
        return total(chunk, label)
    return checkpoint(total, chunk, label, use_reentrant=False, preserve_rng_state=False)
