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
from textgen_env.errors import Range, check_range, unknown
from textgen_env.oracles.policy import keep_top_k
from textgen_env.types import LOG_ZERO, Batch, Oracle, Policy, select_positions

# logits [n, V], log-probabilities [n, V] or tokens [n] → the mean over n positions
PositionLoss = Callable[[Tensor, Tensor], Tensor]
TAILS = ("drop", "bucket")
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


def with_nll(loss: Loss, policy: Policy, references: Batch, share: float) -> Loss:
    """``loss`` mixed with the NLL of the references: (1 - share) · loss + share · NLL.

    The shares are those of a token in the two sums (Kim & Rush 2016, section 3.1). Both are divided
    by the weight of ``loss``, so that the losses of sub-batches still add up.

    Args:
        loss: of a batch whose targets may have been generated.
        policy: the student.
        references: the same rows with their targets from the data.
        share: in [0, 1); 0 leaves ``loss`` as it is.
    """
    if not share:
        return loss
    data = clone(policy, references, select_positions(references.target, references.mask_cpu))
    total = (1 - share) * loss.sum + share * data.sum
    metrics = {**loss.metrics, "nll": data.mean.detach()}
    return Loss(total, loss.weight, metrics, loss.weight + data.weight)


def distill(
    policy: Policy,
    oracle: Oracle,
    batch: Batch,
    loss: PositionLoss,
    top_k: int = 0,
    tail: str = "drop",
) -> Loss:
    """``loss`` between student and oracle at the N real positions of ``batch``.

    Logits of the student are computed in chunks and again in the backward pass. The oracle is
    queried once, so its N·V log-probabilities stay in memory until the backward pass.

    Args:
        policy: the student.
        oracle: queried once at every position.
        batch: with the prefixes to train on.
        loss: a cross-entropy or divergence, as a mean over positions.
        top_k: keep the oracle's k most likely tokens; 0: all.
        tail: what becomes of the others: "drop" renormalizes the k tokens; "bucket" compares the
            mass of all others, oracle's and student's, as one more outcome. A KL over these k + 1
            outcomes is never negative and at most that over the whole vocabulary.

    Returns:
        The loss. For ``cross_entropy`` it has the metric "kl", KL(oracle ‖ student): the loss minus
        the oracle's entropy.
    """
    features = policy.features(batch.source, batch.prefix, batch.mask_cpu)  # [N, D]
    total = features.new_zeros((), dtype=torch.float32)
    entropy = torch.zeros_like(total)
    for rows, positions in chunks(batch, policy.vocabulary_size):
        log_probs = oracle.log_probs(batch.source[rows], batch.prefix[rows], batch.mask_cpu[rows])
        if tail == "bucket" and 0 < top_k < policy.vocabulary_size:
            index = log_probs.topk(top_k).indices  # [n, k]
            log_probs = bucket_tail(log_probs, index)  # [n, k + 1]
            chunk_loss = _over_buckets(loss, index)
        else:
            log_probs, chunk_loss = keep_top_k(log_probs, top_k), loss  # [n, V]
        total = total + _chunk_loss(policy, features, positions, log_probs, chunk_loss)
        if loss is cross_entropy:
            entropy -= (log_probs.float().exp() * log_probs.clamp(min=LOG_ZERO)).sum()
    metrics = {"kl": (total.detach() - entropy) / len(features)} if loss is cross_entropy else {}
    return Loss(total, len(features), metrics)


def bucket_tail(logits: Tensor, index: Tensor) -> Tensor:
    """The logits ``[n, k]`` of the tokens ``index``, and one for all others: ``[n, k + 1]``.

    Args:
        logits: ``[n, V]``, or log-probabilities.
        index: ``[n, k]``, with k < V.
    """
    tail = logits.scatter(-1, index, -torch.inf).logsumexp(-1, keepdim=True)  # [n, 1]
    return torch.cat([logits.gather(-1, index), tail], -1)


def checked_tail(tail: str) -> str:
    """Return ``tail``; raise UserError unless it is "drop" or "bucket"."""
    if tail not in TAILS:
        raise unknown("tail", tail, TAILS)
    return tail


def checked_nll(share: float) -> float:
    """Return ``share``, the key ``nll``; raise UserError unless it is in [0, 1)."""
    check_range("nll", share, Range(0, 1, "most"))
    return share


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


def _over_buckets(loss: PositionLoss, index: Tensor) -> PositionLoss:
    """``loss`` for logits over the vocabulary and labels from ``bucket_tail``."""
    return lambda logits, log_probs: loss(bucket_tail(logits.float(), index), log_probs)


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
