"""Losses over the N real positions of a batch, with tokens or distributions as labels.

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
from textgen_env.oracles.policy import keep_top_k
from textgen_env.types import LOG_ZERO, Batch, Oracle, Policy

# logits [n, V], log-probabilities [n, V] or tokens [n] → the mean over n positions
PositionLoss = Callable[[Tensor, Tensor], Tensor]
MAX_LOGITS = 1 << 25  # the student's logits that are in memory at once


def nll(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean negative log-likelihood of the target tokens; L_opt if these are the oracle's actions.

    Args:
        logits: ``[N, V]``.
        target: ``[N]``.
        smoothing: mass spread evenly over the vocabulary (Szegedy et al. 2016, section 7).
    """
    return F.cross_entropy(logits.float(), target, label_smoothing=smoothing)


def cross_entropy(logits: Tensor, log_probs: Tensor) -> Tensor:
    """Mean cross-entropy of the student under the oracle's distribution; L_full.

    It is KL(oracle ‖ student) plus the oracle's entropy, which has no gradient.

    Args:
        logits: ``[N, V]``, of the student.
        log_probs: ``[N, V]``, of the oracle; may contain -inf.
    """
    return F.cross_entropy(logits.float(), log_probs.float().exp())


def checked_smoothing(label_smoothing: float) -> float:
    """Return ``label_smoothing``; raise UserError unless it is in [0, 1)."""
    check_range("label_smoothing", label_smoothing, Range(0, 1, "most"))
    return label_smoothing


def clone(policy: Policy, batch: Batch, action: Tensor, smoothing: float = 0.0) -> Loss:
    """Behavioral cloning: ``nll`` of ``action`` ``[N]`` at the N real positions of ``batch``."""
    features = policy.features(batch.source, batch.prefix, batch.mask_cpu)  # [N, D]
    total = features.new_zeros((), dtype=torch.float32)
    for _, positions in chunks(batch, policy.vocabulary_size):
        total = total + _chunk_loss(
            policy, features, positions, action[positions], lambda x, y: nll(x, y, smoothing)
        )
    return Loss(total, len(features))


def distillation_loss(
    policy: Policy, oracle: Oracle, batch: Batch, loss: PositionLoss, top_k: int = 0
) -> Loss:
    """``loss`` between student and oracle at the N real positions of ``batch``.

    Logits of the student are computed in chunks and again in the backward pass. The oracle is
    queried once, so its N·V log-probabilities stay in memory until the backward pass.

    Args:
        policy: the student.
        oracle: queried once at every position.
        batch: with the prefixes to train on.
        loss: a cross-entropy or divergence, as a mean over positions.
        top_k: keep the oracle's k most likely tokens, renormalized; 0: all.

    Returns:
        The loss. For ``cross_entropy`` it has the metric "kl", KL(oracle ‖ student): the loss minus
        the oracle's entropy.
    """
    features = policy.features(batch.source, batch.prefix, batch.mask_cpu)  # [N, D]
    total = features.new_zeros((), dtype=torch.float32)
    entropy = torch.zeros_like(total)
    for rows, positions in chunks(batch, policy.vocabulary_size):
        log_probs = oracle.log_probs(batch.source[rows], batch.prefix[rows], batch.mask_cpu[rows])
        log_probs = keep_top_k(log_probs, top_k)  # [n, V]
        total = total + _chunk_loss(policy, features, positions, log_probs, loss)
        if loss is cross_entropy:
            entropy -= (log_probs.float().exp() * log_probs.clamp(min=LOG_ZERO)).sum()
    metrics = {"kl": (total.detach() - entropy) / len(features)} if loss is cross_entropy else {}
    return Loss(total, len(features), metrics)


def chunks(batch: Batch, vocabulary_size: int) -> Iterator[tuple[slice, slice]]:
    """Split a batch into chunks of whole rows with at most ``MAX_LOGITS`` logits, if one row fits.

    Yields:
        The rows of a chunk, and the slice of the N real positions that these rows hold.
    """
    ends, row, position = list(accumulate(batch.length.tolist())), 0, 0
    while row < len(ends):
        last = max(row + 1, bisect_right(ends, position + MAX_LOGITS // vocabulary_size))
        yield slice(row, last), slice(position, ends[last - 1])
        row, position = last, ends[last - 1]


def _chunk_loss(
    policy: Policy, features: Tensor, positions: slice, label: Tensor, loss: PositionLoss
) -> Tensor:
    """The sum of ``loss`` over one chunk.

    With several chunks, the logits are not kept but computed again in the backward pass.
    """
    chunk = features[positions]

    def total(chunk: Tensor, label: Tensor) -> Tensor:
        return loss(policy.head(chunk), label) * len(chunk)

    if len(chunk) == len(features) or not torch.is_grad_enabled():
        return total(chunk, label)
    return checkpoint(total, chunk, label, use_reentrant=False, preserve_rng_state=False)
