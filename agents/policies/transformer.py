"""The encoder–decoder transformer (Vaswani et al. 2017), pre-norm, output tied to the target embedding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.policies.layers import LAYERS, WIDTH, Memory, embedding, linear, positions
from textgen_env.errors import Range, UserError, check_range
from textgen_env.types import PAD, picked

ROOM = 8  # a decode makes room for so many steps at a time


class Transformer(nn.Module):
    """π(a | s) by self- and cross-attention; a ``textgen_env.types.Policy``.

    Args:
        vocabulary_size: V, tokens of the vocabulary that source and target share.
        layers: encoder layers, and decoder layers unless decoder_layers says otherwise.
        decoder_layers: decoder layers; null for as many as in the encoder.
        width: D, size of a token's representation.
        heads: attention heads; they divide the width.
        ffn: size of the feed-forward layers.
        dropout: rate at which activations and attention weights are dropped in training.
        share_source_embedding: one embedding for source and target instead of two.
    """

    def __init__(
        self,
        vocabulary_size: int,
        layers: int = 2,
        decoder_layers: int | None = None,
        width: int = 256,
        heads: int = 4,
        ffn: int = 768,
        dropout: float = 0.1,
        share_source_embedding: bool = False,
    ) -> None:
        super().__init__()
        decoder_layers = layers if decoder_layers is None else decoder_layers
        check_range("layers", layers, LAYERS)
        check_range("decoder_layers", decoder_layers, LAYERS)
        for key, value in (("width", width), ("heads", heads), ("ffn", ffn)):
            check_range(key, value, WIDTH)
        if width % heads:
            raise UserError(f"width={width} heads={heads}: the heads must divide the width")
        check_range("dropout", dropout, Range(0, 1, "most"))
        self.vocabulary_size, self.width, self.heads = vocabulary_size, width, heads
        self.feature_width = width
        self.dropout = nn.Dropout(dropout)
        self.target_embedding = embedding(vocabulary_size, width)
        self.source_embedding = None if share_source_embedding else embedding(vocabulary_size, width)
        sizes = width, heads, ffn, dropout
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(decoder_layers))
        self.decoder_norm = nn.LayerNorm(width)

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``[B, T, V]``, or ``[N, V]`` where ``mask`` ``[B, T]`` is True."""
        return self.head(self.features(source, prefix, mask))

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Inputs of the output layer: ``[B, T, D]``, or ``[N, D]`` where ``mask`` is True."""
        *memory, present = self.encode(source)
        x = self.dropout(self.embed(self.target_embedding, prefix))
        for layer, keys_values in zip(self.decoder, memory, strict=True):
            x = layer(x, keys_values, present)
        return self.decoder_norm(x if mask is None else picked(x, mask))

    def head(self, features: Tensor) -> Tensor:
        """The output layer, tied to the target embedding: ``[..., D]`` → ``[..., V]``."""
        return F.linear(features, self.target_embedding.weight)

    def encode(self, source: Tensor) -> tuple[Tensor, ...]:
        """Keys and values ``[B, S, 2, H, K]`` for each decoder layer; last, where to attend ``[B, 1, 1, S]``."""
        present = (source != PAD)[:, None, None]  # [B, 1, 1, S]
        x = self.dropout(self.embed(self.source_embedding or self.target_embedding, source))
        for layer in self.encoder:
            x = layer(x, present)
        x = self.encoder_norm(x)  # [B, S, D]
        attentions: list[Any] = [layer.cross_attention for layer in self.decoder]
        return *(attention.keys_values(x) for attention in attentions), present

    def embed(self, table: nn.Embedding, token: Tensor) -> Tensor:
        """Tokens ``[B, T]`` at positions 0 … T-1 → ``[B, T, D]``."""
        return table(token) * math.sqrt(self.width) + positions(token.shape[1], self.width, token.device)

    def start(self, source: Tensor, limit: int) -> State:
        """Encode ``source`` ``[B, S]`` once, for at most ``limit`` steps."""
        memory = Memory(self.encode(source), torch.arange(len(source), device=source.device))
        past = [Past(keys_values[:, :0], 0) for keys_values in memory.tensors[:-1]]
        return State(0, positions(limit, self.width, source.device), past, memory)

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """One step for ``token`` ``[B]`` → ``[B, V]``; writes into ``state``, which must not be used again."""
        x = self.target_embedding(token) * math.sqrt(self.width) + state.places[state.time]  # [B, D]
        x = x[:, None]  # [B, 1, D]
        *memory, present = state.memory.tensors
        for layer, keys_values, past in zip(self.decoder, memory, state.past, strict=True):
            x = layer.forward(x, keys_values, present, past)  # not by torch.compile, whatever its pass over sequences
        logits = self.head(self.decoder_norm(x[:, 0]))
        return logits, State(state.time + 1, state.places, state.past, state.memory)


@dataclass(frozen=True, slots=True)
class State:
    """A decode after ``time`` steps; places ``[limit, D]``: the sinusoids of every step."""

    time: int
    places: Tensor
    past: list[Past]
    memory: Memory

    def select(self, index: Tensor) -> State:
        """Rows ``index``."""
        past = [layer.select(index) for layer in self.past]
        return State(self.time, self.places, past, self.memory.select(index))


@dataclass(slots=True)
class Past:
    """A layer's keys and values ``[B, room, 2, H, K]``, of which the first ``length`` steps are written."""

    keys_values: Tensor
    length: int

    def append(self, keys_values: Tensor) -> Tensor:
        """Add those of a step ``[B, 1, 2, H, K]``; return all so far ``[B, length, 2, H, K]``."""
        if self.length == self.keys_values.shape[1]:
            self.keys_values = F.pad(self.keys_values, (0, 0, 0, 0, 0, 0, 0, ROOM))
        self.keys_values[:, self.length] = keys_values[:, 0]
        self.length += 1
        return self.keys_values[:, : self.length]

    def select(self, index: Tensor) -> Past:
        """Rows ``index``."""
        return Past(self.keys_values.index_select(0, index), self.length)


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = linear(width, width)
        self.key_value = linear(width, width, blocks=2)
        self.output = linear(width, width)

    def keys_values(self, x: Tensor) -> Tensor:
        """What queries meet at each position: ``[B, S, D]`` → ``[B, S, 2, H, K]``."""
        return self.key_value(x).unflatten(-1, (2, self.heads, -1))  # [B, S, 2, H, K]

    def forward(self, x: Tensor, keys_values: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """``[B, T, D]`` → ``[B, T, D]``; attends where ``mask`` is True, or if causal up to each own position."""
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, H, T, K]
        key, value = keys_values.permute(2, 0, 3, 1, 4)  # [B, H, S, K] each
        dropout = self.dropout if self.training else 0.0
        x = F.scaled_dot_product_attention(query, key, value, mask, dropout, causal)  # [B, H, T, K]
        return self.output(x.transpose(1, 2).flatten(2))  # [B, T, D]


class EncoderLayer(nn.Module):
    """x + attention(norm x), then x + ffn(norm x)."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.self_norm, self.self_attention = nn.LayerNorm(width), Attention(width, heads, dropout)
        self.ffn_norm, self.ffn = nn.LayerNorm(width), feed_forward(width, ffn, dropout)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """``[B, S, D]`` → ``[B, S, D]``."""
        y = self.self_norm(x)
        x = x + self.dropout(self.self_attention(y, self.self_attention.keys_values(y), present))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))


class DecoderLayer(nn.Module):
    """x + self-attention(norm x), then x + cross-attention(norm x), then x + ffn(norm x)."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.self_norm, self.self_attention = nn.LayerNorm(width), Attention(width, heads, dropout)
        self.cross_norm, self.cross_attention = nn.LayerNorm(width), Attention(width, heads, dropout)
        self.ffn_norm, self.ffn = nn.LayerNorm(width), feed_forward(width, ffn, dropout)

    def forward(self, x: Tensor, memory: Tensor, present: Tensor, past: Past | None = None) -> Tensor:
        """``[B, T, D]`` → ``[B, T, D]``: a whole prefix, or one step after ``past``."""
        y = self.self_norm(x)
        keys_values = self.self_attention.keys_values(y)
        if past is not None:
            keys_values = past.append(keys_values)
        x = x + self.dropout(self.self_attention(y, keys_values, causal=past is None))
        x = x + self.dropout(self.cross_attention(self.cross_norm(x), memory, present))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))


def feed_forward(width: int, ffn: int, dropout: float) -> nn.Sequential:
    """W₂ relu(W₁ x)."""
    return nn.Sequential(linear(width, ffn), nn.ReLU(), nn.Dropout(dropout), linear(ffn, width))


NAMES = {"transformer": partial(Transformer)}
