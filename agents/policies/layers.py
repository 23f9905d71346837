"""What the policies share: limits of their sizes, initial weights and positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from textgen_env.errors import Range

LAYERS, WIDTH = Range(1, 256), Range(1, 16_384)  # of any policy


def linear(inputs: int, outputs: int, blocks: int = 1, bias: bool = True) -> nn.Linear:
    """A linear layer with Xavier weights and zero bias; ``blocks`` matrices are stacked in its output."""
    layer = nn.Linear(inputs, blocks * outputs, bias)
    bound = math.sqrt(6 / (inputs + outputs))
    nn.init.uniform_(layer.weight, -bound, bound)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def embedding(vocabulary_size: int, width: int) -> nn.Embedding:
    """Rows of unit expected norm, so that tied logits start at unit scale; scale them by √D on the way in."""
    table = nn.Embedding(vocabulary_size, width)
    nn.init.normal_(table.weight, std=width**-0.5)
    return table


def positions(length: int, width: int, device: torch.device) -> Tensor:
    """Sinusoidal positions ``[length, width]`` (Vaswani et al. 2017, section 3.5), for any length."""
    rate = torch.exp(
        torch.arange(0, width, 2, device=device) * (-math.log(10_000.0) / width)
    )  # [D/2]
    angle = torch.arange(length, device=device)[:, None] * rate  # [length, D/2]
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]  # [length, D]
