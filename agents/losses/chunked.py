"""A sum over chunks of a batch whose logits are never in memory together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# A chunk: its positions among all N, and its loss as a function of its features [n, D].
Chunk = tuple[slice, Callable[[Tensor], Tensor]]


def chunked_sum(
    features: Tensor, weights: Iterable[nn.Parameter], chunks: Iterable[Chunk]
) -> Tensor:
    """Add up the losses of all chunks.

    The gradient of a chunk is computed with its loss, so everything that its loss needs is freed
    before the next chunk: the logits, and what ``chunks`` made for it, such as the oracle's answer.

    Args:
        features: ``[N, D]``.
        weights: those that the losses may depend on.
        chunks: computed one after another.

    Returns:
        A scalar in float32.
    """
    if torch.is_grad_enabled():
        trained = [weight for weight in weights if weight.requires_grad]
        return _Sum.apply(chunks, features, *trained)  # type: ignore[no-any-return]
    losses = (loss(features[positions]) for positions, loss in chunks)
    return sum(losses, features.new_zeros((), dtype=torch.float32))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, chunks: Iterable[Chunk], features: Tensor, *weights: Tensor) -> Tensor:
        total = features.new_zeros((), dtype=torch.float32)
        gradients: list[Tensor | None] = [torch.zeros_like(features), *[None] * len(weights)]
        for positions, loss in chunks:
            chunk = features[positions].detach().requires_grad_()
            with torch.enable_grad():
                value = loss(chunk)
            total += value.detach()
            first, *others = torch.autograd.grad(value, (chunk, *weights), allow_unused=True)
            gradients[0][positions] = first  # type: ignore[index]
            for index, gradient in enumerate(others, 1):
                if gradient is not None:
                    gradient, before = gradient.float(), gradients[index]
                    gradients[index] = gradient if before is None else before.add_(gradient)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        gradients = ctx.saved_tensors
        return None, *(None if x is None else x * outer[0] for x in gradients)
