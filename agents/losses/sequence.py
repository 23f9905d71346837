"""Losses over the N real positions of a batch, with tokens or distributions as labels.

All are computed in float32, in nats.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.losses.chunked import chunked_sum
from agents.losses.loss import Loss
from textgen_env.chunks import chunks
from textgen_env.errors import Range, check_range, unknown
from textgen_env.oracles.policy import keep_top_k
from textgen_env.types import LOG_ZERO, Batch, Oracle, Policy, select_positions

# logits [n, V], log-probabilities [n, V] or tokens [n] → the mean over n positions
PositionLoss = Callable[[Tensor, Tensor], Tensor]
# logits [n, V] of a chunk, its rows, the slice of its positions → the sum of its losses
LogitsLoss = Callable[[Tensor, Batch, slice], Tensor]
TAILS = ("drop", "bucket")


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


def chunked_loss(policy: Policy, batch: Batch, loss: LogitsLoss) -> Loss:
    """The sum of ``loss`` over the N real positions of ``batch``, one chunk at a time.

    Only the gradient of a chunk is kept, so that no tensor has N·V elements. A chunk holds whole
    rows, so that its loss may depend on their later positions.

    Args:
        policy: the student.
        batch: with the prefixes to train on.
        loss: of the policy's logits of a chunk. It is called once, so it may query the oracle.
    """
    features = policy.features(*batch.states)  # [N, D]

    def chunk_loss(chunk: Tensor, rows: Batch, positions: slice) -> Tensor:
        return loss(policy.head(chunk), rows, positions)

    split = chunks(batch, policy.vocabulary_size)
    return Loss(chunked_sum(chunk_loss, features, split, policy.parameters()), len(features))


def clone(policy: Policy, batch: Batch, action: Tensor, smoothing: float = 0.0) -> Loss:
    """Behavioral cloning: ``nll`` of ``action`` ``[N]`` at the N real positions of ``batch``."""

    def chunk_loss(logits: Tensor, _: Batch, positions: slice) -> Tensor:
        return nll(logits, action[positions], smoothing) * len(logits)

    return chunked_loss(policy, batch, chunk_loss)


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


def distillation_loss(
    policy: Policy,
    oracle: Oracle,
    batch: Batch,
    loss: PositionLoss,
    top_k: int = 0,
    tail: str = "drop",
) -> Loss:
    """``loss`` between student and oracle at the N real positions of ``batch``, in chunks.

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
    entropy = torch.zeros((), device=batch.source.device)
    bucket = tail == "bucket" and 0 < top_k < policy.vocabulary_size

    def chunk_loss(logits: Tensor, rows: Batch, _: slice) -> Tensor:
        with torch.no_grad():
            log_probs = oracle.log_probs(*rows.states)  # [n, V]
            if bucket:
                index = log_probs.topk(top_k).indices  # [n, k]
                log_probs = bucket_tail(log_probs, index)  # [n, k + 1]
            else:
                log_probs = keep_top_k(log_probs, top_k)
            if loss is cross_entropy:
                entropy.sub_((log_probs.float().exp() * log_probs.clamp(min=LOG_ZERO)).sum())
        if bucket:
            logits = bucket_tail(logits.float(), index)
        return loss(logits, log_probs) * len(logits)

    total = chunked_loss(policy, batch, chunk_loss)
    if loss is cross_entropy:
        total.metrics = {"kl": (total.sum.detach() - entropy) / total.weight}
    return total


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
