"""The losses of distillation, over the N real positions of a batch.  All are computed in float32, in nats, and averaged."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from agents.policy import Policy
from textgen_env.oracle import Oracle, keep_top
from textgen_env.types import Batch

Compare = Callable[[Tensor, Tensor], Tensor]  # the student's logits [n, V], the oracle's log-probabilities [n, V] → a mean
LOGITS = 1 << 23  # 32 MiB in float32: also faster than all at once, as they stay nearer to the processor


def nll(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Negative log-likelihood of ``target`` ``[N]`` under ``logits`` ``[N, V]``; L_opt if the targets are the oracle's actions.

    smoothing: mass spread evenly over the vocabulary (Szegedy et al. 2016, section 7).
    """
    return F.cross_entropy(logits.float(), target, label_smoothing=smoothing)


class Part(NamedTuple):
    """Some rows of a batch, and which of its N real positions are theirs."""

    rows: slice
    positions: slice


def cloning(policy: Policy, batch: Batch, action: Tensor, smoothing: float = 0.0) -> Tensor:
    """``nll`` of ``action`` ``[N]`` at the N real positions of ``batch``."""
    return by_position(policy, batch, lambda logits, part: nll(logits, action[part.positions], smoothing))


def distilling(policy: Policy, oracle: Oracle, batch: Batch, loss: Compare, label_top_k: int = 0) -> Tensor:
    """``loss(logits, log_probs)`` of the student and the oracle at the N real positions of ``batch``.

    label_top_k: the oracle's distributions are cut to their k likeliest tokens; 0: whole.
    """

    def compared(logits: Tensor, part: Part) -> Tensor:
        rows = (batch.source[part.rows], batch.prefix[part.rows], batch.actual[part.rows])
        return loss(logits, keep_top(oracle.log_probs(*rows), label_top_k))

    return by_position(policy, batch, compared)


def full(policy: Policy, oracle: Oracle, batch: Batch, label_top_k: int = 0) -> tuple[Tensor, Tensor]:
    """L_full at the N real positions of ``batch``, and how far it is above the oracle's entropy, without a gradient."""
    entropies = []

    def loss(logits: Tensor, log_probs: Tensor) -> Tensor:
        entropies.append(entropy(log_probs) * len(log_probs))
        return cross_entropy(logits, log_probs)

    value = distilling(policy, oracle, batch, loss, label_top_k)
    return value, value.detach() - torch.stack(entropies).sum() / batch.tokens


def by_position(policy: Policy, batch: Batch, loss: Callable[[Tensor, Part], Tensor]) -> Tensor:
    """The mean of ``loss(logits [n, V], part)``, itself a mean, over all N real positions of ``batch``.

    Where N·V is more than ``LOGITS``, no more logits than that are in memory at once, or those of one row: the output layer,
    the loss and the gradient through both go over the rows in parts.
    """
    features = policy.features(batch.source, batch.prefix, batch.actual)  # [N, D]
    if len(features) * policy.vocabulary_size <= LOGITS:
        return loss(policy.logits(features), Part(slice(None), slice(None)))
    parts = _parts(batch.length.tolist(), LOGITS // policy.vocabulary_size)
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    return _InParts.apply(policy.logits, loss, parts, features, *weights)


def _parts(lengths: list[int], most: int) -> list[Part]:
    """Consecutive rows with at most ``most`` positions together, or one row."""
    parts, row, position = [], 0, 0
    ends = list(accumulate(lengths))
    while row < len(lengths):
        last = max(row + 1, bisect_right(ends, position + most))
        parts.append(Part(slice(row, last), slice(position, ends[last - 1])))
        row, position = last, ends[last - 1]
    return parts


class _InParts(torch.autograd.Function):
    """Takes the gradient of a part as soon as its loss is there, so that its logits are gone before those of the next."""

    @staticmethod
    def forward(ctx, logits, loss, parts, features, *weights):
        total, own, shared = features.new_zeros((), dtype=torch.float32), torch.empty_like(features), {}
        for part in parts:
            piece = features[part.positions].detach().requires_grad_()
            with torch.enable_grad():
                value = loss(logits(piece), part) * (len(piece) / len(features))
            own[part.positions], *others = torch.autograd.grad(value, [piece, *weights], allow_unused=True)
            for place, gradient in enumerate(others):
                if gradient is not None:
                    shared[place] = shared[place] + gradient if place in shared else gradient
            total += value.detach()
        ctx.places, ctx.count = list(shared), len(weights)
        ctx.save_for_backward(own, *shared.values())
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        own, *found = ctx.saved_tensors
        shared = dict(zip(ctx.places, found, strict=True))
        return None, None, None, own * grad, *(shared[i] * grad if i in shared else None for i in range(ctx.count))


def cross_entropy(logits: Tensor, log_probs: Tensor) -> Tensor:
    """L_full: cross-entropy of the student ``logits`` ``[N, V]`` under the oracle's ``log_probs`` ``[N, V]``.

    It differs from KL(oracle ‖ student) by the oracle's entropy, which has no gradient.  -inf in ``log_probs`` is fine.
    """
    return F.cross_entropy(logits.float(), log_probs.float().exp())


def entropy(log_probs: Tensor) -> Tensor:
    """Mean entropy of the oracle's distributions ``[N, V]``: what ``cross_entropy`` cannot go below."""
    return -(log_probs.exp() * log_probs.clamp(min=-1e4)).sum(-1).mean()
