"""Sums over chunks of a batch, whose logits are never in memory together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Chunk = tuple[Any, slice]  # its rows, and the slice of the N positions that they hold
# the features [n, D] of a chunk, and the chunk → the sum of its losses
ChunkLoss = Callable[[Tensor, Any, slice], Tensor]


def chunked_sum(
    loss: ChunkLoss, features: Tensor, chunks: Iterable[Chunk], weights: Iterable[nn.Parameter]
) -> Tensor:
    """Add up the losses of all chunks.

    The gradient of a chunk is computed with its loss, so that everything the loss needs is freed
    before the next chunk: the logits, and the oracle's distributions.

    Args:
        loss: of one chunk.
        features: ``[N, D]``.
        chunks: together they hold every position once.
        weights: those that the losses may depend on.

    Returns:
        A scalar in float32.
    """
    if torch.is_grad_enabled():
        trained = [weight for weight in weights if weight.requires_grad]
        return _ChunkedSum.apply(loss, chunks, features, *trained)  # type: ignore[no-any-return]
    losses = (loss(features[positions], rows, positions) for rows, positions in chunks)
    return sum(losses, features.new_zeros((), dtype=torch.float32))


def recomputed(values: Callable[..., Tensor], *inputs: Tensor, needed: bool = True) -> Tensor:
    """``values(*inputs)``, computed again in the backward pass if ``needed``; not random."""
    if not needed:
        return values(*inputs)
    return checkpoint(  # type: ignore[no-any-return]
        values, *inputs, use_reentrant=False, preserve_rng_state=False
    )


class _ChunkedSum(torch.autograd.Function):
    """The sum of the chunks' losses; ``forward`` already computes its gradient.

    ``backward`` only scales the gradients of the features ``[N, D]`` and of the weights.
    """

    @staticmethod
    def forward(
        ctx: Any, loss: ChunkLoss, chunks: Iterable[Chunk], features: Tensor, *weights: Tensor
    ) -> Tensor:
        total = features.new_zeros((), dtype=torch.float32)
        feature_gradient = torch.zeros_like(features)
        weight_gradients: list[Tensor | None] = [None] * len(weights)
        for rows, positions in chunks:
            chunk = features[positions].detach().requires_grad_()
            with torch.enable_grad():
                value = loss(chunk, rows, positions)
            total += value.detach()
            gradients = torch.autograd.grad(value, (chunk, *weights), allow_unused=True)
            feature_gradient[positions] = gradients[0]
            pairs = zip(weight_gradients, gradients[1:], strict=True)
            weight_gradients = [_add(total, gradient) for total, gradient in pairs]
            del value, gradients  # before the next chunk needs the memory
        ctx.save_for_backward(feature_gradient, *weight_gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        gradients = (None if x is None else x * outer[0] for x in ctx.saved_tensors)
        return None, None, *gradients


def _add(total: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    """Their sum in float32, in place of ``total``; None is 0."""
    if gradient is None:
        return total
    return gradient.float() if total is None else total.add_(gradient)
