"""The few layers that policies share, written for short sequences on a processor."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.accel.fast import linear, where_kept
from textgen_env.errors import Range

LAYERS, WIDTH = Range(1, 256), Range(1, 16_384)  # of any policy
NEVER = -1e9  # added to a score, it leaves no weight; finite, so that a row without any key is uniform and not NaN


class Linear(nn.Linear):
    """nn.Linear in the precision of its input, Xavier-initialised; ``blocks``: independent matrices stacked in its output."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, blocks: int = 1, bias: bool = True) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = inputs, outputs * blocks
        bound = math.sqrt(6 / (inputs + outputs))
        self.weight = nn.Parameter(torch.empty(outputs * blocks, inputs).uniform_(-bound, bound, generator=generator))
        self.register_parameter("bias", nn.Parameter(torch.zeros(outputs * blocks)) if bias else None)

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        """``[..., inputs]`` → ``[..., outputs]``; relu: its positive part."""
        return linear(x, self.weight, self.bias, relu)


class Dropout(nn.Module):
    """Dropout from cheap random bits; one object, hence one stream, serves every layer of a policy.

    An element is kept when a random byte is one of the ``keep`` largest of 256, so the rate is rounded to 1/256 (0.1 → 26/256)
    and kept elements are scaled by exactly 256 / keep: the mean is preserved.  torch's own masks take ten times as long, a
    quarter of a training step.  ``generator`` only seeds each mask, on its own device; saving its state makes a run repeatable
    to the bit.
    """

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        super().__init__()
        self.keep = max(1, 256 - round(256 * rate))
        self.generator = generator

    @property
    def active(self) -> bool:
        """Whether anything is dropped now."""
        return self.training and self.keep < 256

    def forward(self, x: Tensor) -> Tensor:
        """Dropout of ``x``."""
        return where_kept(x, self.kept(x.shape, x.dtype, x.device)) * (256 / self.keep) if self.active else x

    def after(self, layer: Linear, x: Tensor, relu: bool = False) -> Tensor:
        """Dropout of ``layer(x)``, or of its positive part; the scale goes into the layer's few weights."""
        if not self.active:
            return layer(x, relu)
        scale, shape = 256 / self.keep, (*x.shape[:-1], layer.out_features)
        return linear(x, layer.weight * scale, layer.bias * scale, relu, self.kept(shape, x.dtype, x.device))

    def kept(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Numbers that are positive where an element is kept: ``byte - (255 - keep)``, in the place of the exponent."""
        size, count = dtype.itemsize, math.prod(shape)
        lane, lowest = {2: (torch.int16, 7), 4: (torch.int32, 23)}[size]  # of bfloat16 and float32
        words = self._words(-(-count // 8), device).view(lane)
        lanes = words.new_empty(size, len(words))  # [size, words]
        for place, found in enumerate(lanes):
            move = torch.bitwise_left_shift if lowest >= 8 * place else torch.bitwise_right_shift
            move(words, abs(lowest - 8 * place), out=found)
        lanes.bitwise_and_(255 << lowest).sub_(255 - self.keep << lowest)
        return lanes.view(dtype).view(-1)[:count].view(shape)

    def _words(self, count: int, device: torch.device) -> Tensor:
        seed = int(torch.randint(2**63 - 1, ()))
        if device.type == "cpu":
            return torch.from_numpy(np.random.SFC64(seed).random_raw(count)).view(torch.int64)
        generator = torch.Generator(device).manual_seed(seed)
        return torch.empty(count, dtype=torch.int64, device=device).random_(-(2**63), None, generator=generator)


def attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, dropout: Dropout | None = None) -> Tensor:
    """Scaled dot-product attention, weights in float32.

    query ``[N, T, K]``, key and value ``[N, S, K]``, N = batch × heads; bias ``[N, T, S]`` is added to the scores →
    ``[N, T, K]``.  By torch's kernels, but for a gradient on a processor and for dropout: forward plus backward the explicit
    product beats them there at every length from 24 to 400 in both precisions (2 to 6 times in bfloat16), and its dropout
    has an explicit generator.
    """
    dropout = dropout if dropout is not None and dropout.active else None
    if dropout is None and not (query.device.type == "cpu" and torch.is_grad_enabled()):
        bias = None if bias is None else bias[:, None]
        return F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], bias)[:, 0]
    scale = query.shape[-1] ** -0.5
    scores = torch.bmm(query, key.mT).mul_(scale) if bias is None else torch.baddbmm(bias, query, key.mT, alpha=scale)
    weight = scores.softmax(-1, dtype=torch.float32).to(value.dtype)  # [N, T, S]
    return torch.bmm(weight if dropout is None else dropout(weight), value)


def positions(length: int, width: int, device: torch.device) -> Tensor:
    """Sinusoidal positions ``[length, width]`` (Vaswani et al. 2017, section 3.5), for any length."""
    return _positions(max(64, 1 << (length - 1).bit_length()), width, device)[:length]


@lru_cache(maxsize=32)
def _positions(length: int, width: int, device: torch.device) -> Tensor:
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))  # [D/2]
    angle = torch.arange(length)[:, None] * rate  # [length, D/2]
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width].to(device)  # [length, D]
