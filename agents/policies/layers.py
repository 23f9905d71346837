"""Shared by the policies: ranges of their sizes, initial weights, layers, positional encodings."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from textgen_env.errors import Range

LAYERS, WIDTH = Range(1, 256), Range(1, 16_384)


def linear(inputs: int, outputs: int, blocks: int = 1, bias: bool = True) -> nn.Linear:
    """A linear layer with Xavier weights and zero bias; its output stacks ``blocks`` matrices."""
    layer = nn.Linear(inputs, blocks * outputs, bias)
    bound = math.sqrt(6 / (inputs + outputs))
    nn.init.uniform_(layer.weight, -bound, bound)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def embedding(vocabulary_size: int, width: int) -> nn.Embedding:
    """Rows of expected norm 1, so that tied logits start at unit scale; multiply inputs by √D."""
    table = nn.Embedding(vocabulary_size, width)
    nn.init.normal_(table.weight, std=width**-0.5)
    return table


def positions(length: int, width: int, device: torch.device) -> Tensor:
    """Sinusoidal positional encodings ``[length, width]`` (Vaswani et al. 2017, section 3.5)."""
    rate = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000.0) / width))
    angle = torch.arange(length, device=device)[:, None] * rate  # [length, D/2]
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]  # [length, D]


def feed_forward(width: int, ffn: int, dropout: float) -> nn.Sequential:
    """W₂ relu(W₁ x)."""
    return nn.Sequential(linear(width, ffn), nn.ReLU(), nn.Dropout(dropout), linear(ffn, width))


def apply(layer: nn.Module, again: bool, *inputs: Tensor) -> Any:
    """``layer(*inputs)``; with ``again`` the backward pass computes it again, to save memory."""
    if again and torch.is_grad_enabled():
        return checkpoint(layer, *inputs, use_reentrant=False)
    return layer(*inputs)
