"""The losses of distillation, over the N real positions of a batch.  All are computed in float32, in nats, and averaged."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from textgen_env.errors import Range, check_range
from textgen_env.oracles.policy import keep_top
from textgen_env.types import LOG_ZERO, Batch, Oracle, Policy

Loss = Callable[[Tensor, Tensor], Tensor]  # the student's logits [n, V], what is said of each position [n, …] → a mean
Graded = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # the same → the sum, and its gradient by the logits [n, V]
LOGITS = 1 << 23  # numbers in a part of the logits: 16 MiB in bfloat16
BLOCK = 1 << 19  # numbers in a block: 2 MiB in float32, so that what is computed of them stays in a processor's cache


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


def checked_smoothing(label_smoothing: float) -> float:
    """``label_smoothing`` where it is a share in [0, 1); a UserError else."""
    check_range("label_smoothing", label_smoothing, Range(0, 1, "most"))
    return label_smoothing


class Part(NamedTuple):
    """Some rows of a batch, and which of its N real positions are theirs."""

    rows: slice
    positions: slice


def cloning(policy: Policy, batch: Batch, action: Tensor, smoothing: float = 0.0) -> Tensor:
    """``nll`` of ``action`` ``[N]`` at the N real positions of ``batch``."""
    return by_position(policy, batch, lambda part: action[part.positions], partial(_graded_nll, smoothing=smoothing))


def distilling(policy: Policy, oracle: Oracle, batch: Batch, loss: Loss) -> Tensor:
    """``loss(logits, log_probs)`` of the student and the oracle at the N real positions of ``batch``."""
    return by_position(policy, batch, partial(_asked, oracle, batch), partial(_graded, loss))


def full(policy: Policy, oracle: Oracle, batch: Batch, label_top_k: int = 0) -> tuple[Tensor, Tensor]:
    """L_full at the N real positions of ``batch``, and how far it is above the oracle's entropy, without a gradient.

    label_top_k: the oracle's distributions are cut to their k likeliest tokens; 0: whole.
    """
    entropies = []

    def loss(logits: Tensor, log_probs: Tensor) -> tuple[Tensor, Tensor]:
        label = log_probs.float().exp()
        entropies.append(-(label * log_probs.clamp(min=LOG_ZERO)).sum())
        return _graded_cross_entropy(logits, label)

    value = by_position(policy, batch, partial(_asked, oracle, batch, top_k=label_top_k), loss)
    return value, value.detach() - torch.stack(entropies).sum() / batch.tokens


def _asked(oracle: Oracle, batch: Batch, part: Part, top_k: int = 0) -> Tensor:
    return keep_top(oracle.log_probs(batch.source[part.rows], batch.prefix[part.rows], batch.actual[part.rows]), top_k)


def _graded(loss: Loss, logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    x = logits.detach().requires_grad_()
    with torch.enable_grad():
        value = loss(x, label) * len(x)
    return value.detach(), torch.autograd.grad(value, x)[0]


def _graded_nll(logits: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """As ``_graded(nll, …)`` in fewer passes over the logits: its gradient is softmax - label."""
    x, row = _shifted(logits), torch.arange(len(logits), device=logits.device)
    said = x[row, target]  # [n]
    if smoothing:
        said = torch.lerp(said, x.mean(1), smoothing)
    total = x.exp_().sum(1)  # [n]
    x *= total.reciprocal()[:, None]
    if smoothing:
        x -= smoothing / x.shape[1]
    x[row, target] -= 1 - smoothing
    return (total.log() - said).sum(), x.to(logits.dtype)


def _graded_cross_entropy(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """As ``_graded(cross_entropy, …)``, likewise; ``label`` ``[n, V]`` are probabilities."""
    x = _shifted(logits)
    said = (x * label).sum(1)  # [n]; torch.linalg.vecdot would follow autocast into bfloat16
    total = x.exp_().sum(1)  # [n]
    x *= total.reciprocal()[:, None]
    return (total.log() - said).sum(), x.sub_(label).to(logits.dtype)


def _shifted(logits: Tensor) -> Tensor:
    """A copy in float32 whose rows have 0 as their largest."""
    x = logits.to(torch.float32, copy=True)
    return x.sub_(x.amax(1, keepdim=True))


def by_position(policy: Policy, batch: Batch, label: Callable[[Part], Tensor], loss: Graded) -> Tensor:
    """The mean of ``loss(logits [n, V], label(part) [n, …])`` over all N real positions of ``batch``.

    Where N·V is more than ``LOGITS``, no more logits than that are in memory at once, or those of one row: output layer,
    labels, loss and the gradient through all go over the rows in parts.  On a processor the loss, which looks at each number
    many times, goes over a part in blocks.
    """
    features = policy.features(batch.source, batch.prefix, batch.actual)  # [N, D]
    parts = _parts(batch.length.tolist(), LOGITS // policy.vocabulary_size)
    block = max(1, (BLOCK if features.device.type == "cpu" else LOGITS) // policy.vocabulary_size)
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    return _InParts.apply(policy.head, label, loss, parts, block, features, *weights)


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
    def forward(ctx, output, label, loss, parts, block, features, *weights):
        total, own, shared = features.new_zeros((), dtype=torch.float32), torch.empty_like(features), {}
        for part in parts:
            piece = features[part.positions].detach().requires_grad_()
            with torch.enable_grad():
                logits = output(piece)  # [n, V]
            value, gradient = _by_block(loss, logits.detach(), label(part), block)
            own[part.positions], *others = torch.autograd.grad(logits, [piece, *weights], gradient, allow_unused=True)
            for place, each in enumerate(others):
                if each is not None:
                    shared[place] = shared[place] + each if place in shared else each
            total += value
        ctx.places, ctx.count = list(shared), len(weights)
        ctx.save_for_backward(own, *shared.values())
        return total / len(features)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        own, *found = ctx.saved_tensors
        shared, grad = dict(zip(ctx.places, found, strict=True)), grad / len(own)
        return *[None] * 5, own * grad, *(shared[i] * grad if i in shared else None for i in range(ctx.count))


def _by_block(loss: Graded, logits: Tensor, label: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """``loss`` of ``block`` positions at a time."""
    total, gradient = logits.new_zeros((), dtype=torch.float32), torch.empty_like(logits)
    for some, said, found in zip(logits.split(block), label.split(block), gradient.split(block), strict=True):
        value, found[:] = loss(some, said)
        total += value
    return total, gradient
