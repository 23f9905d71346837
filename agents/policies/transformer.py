"""The encoder–decoder transformer (Vaswani et al. 2017), pre-norm, output tied to the target embedding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.policies.layers import LAYERS, WIDTH, embedding, linear, positions
from textgen_env.errors import Range, UserError, check_range
from textgen_env.types import PAD, select_positions

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
        self.source_embedding = (
            None if share_source_embedding else embedding(vocabulary_size, width)
        )
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
        return self.decoder_norm(x if mask is None else select_positions(x, mask))

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
        return table(token) * math.sqrt(self.width) + positions(
            token.shape[1], self.width, token.device
        )

    def start(self, source: Tensor, limit: int) -> State:
        """Encode ``source`` ``[B, S]`` once, for at most ``limit`` steps."""
        memory = self.encode(source)
        past = [Past(keys_values[:, :0], 0) for keys_values in memory[:-1]]
        return State(0, positions(limit, self.width, source.device), 1, past, None, memory)

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """One step for ``token`` ``[B]`` → ``[B, V]``; writes into ``state``, which must not be used again."""
        x = (
            self.target_embedding(token) * math.sqrt(self.width) + state.places[state.time]
        )  # [B, D]
        x = x.view(-1, state.beams, self.width)  # [N, W, D]
        *memory, present = state.memory
        seen = state.seen
        if seen is not None:
            own = torch.eye(state.beams, dtype=torch.bool, device=seen.device)
            seen = torch.cat([seen, own.expand(len(seen), 1, -1, -1)], 3)  # [N, 1, W, R + W]
        for layer, keys_values, past in zip(self.decoder, memory, state.past, strict=True):
            x = layer.forward(
                x, keys_values, present, past, seen
            )  # not by torch.compile, whatever its pass over sequences
        logits = self.head(self.decoder_norm(x.flatten(0, 1)))
        return logits, State(
            state.time + 1, state.places, state.beams, state.past, seen, state.memory
        )


@dataclass(frozen=True, slots=True)
class State:
    """A decode after ``time`` steps of N sources with W hypotheses each, side by side: B = N·W rows.

    The hypotheses of a source share its memory and one past. A beam search that reorders them copies
    no keys and values: ``seen`` says which entries of the past are a hypothesis's own.

    places ``[limit, D]``: the sinusoids of every step · beams: W · seen ``[N, 1, W, R]``: of the R entries of the past; None
    where each row sees all · memory: as ``Transformer.encode`` returns it.
    """

    time: int
    places: Tensor
    beams: int
    past: list[Past]
    seen: Tensor | None
    memory: tuple[Tensor, ...]

    def select(self, index: Tensor) -> State:
        """Rows ``index``; this state must not be used again."""
        source, count = (index // self.beams).unique_consecutive(return_counts=True)
        beams = max(1, len(index) // max(1, len(source)))
        if (count != beams).any():
            source, beams = index // self.beams, 1
        past, seen, memory, sources = self.past, self.seen, self.memory, len(self.memory[0])
        if seen is not None or beams > 1:
            seen = (
                torch.ones_like(index, dtype=torch.bool)[:, None].expand(-1, past[0].length)
                if seen is None
                else seen.flatten(0, 2)[index]
            )
            seen = seen.unflatten(0, (len(source), 1, beams))  # [N, 1, W, R]
        if not torch.equal(source, torch.arange(sources, device=index.device)):
            past = [layer.select(source) for layer in past]
            memory = tuple(tensor.index_select(0, source) for tensor in memory)
        return State(self.time, self.places, beams, past, seen, memory)


@dataclass(slots=True)
class Past:
    """A layer's keys and values ``[N, room, 2, H, K]``, of which the first ``length`` entries are written."""

    keys_values: Tensor
    length: int

    def append(self, keys_values: Tensor) -> Tensor:
        """Add those of a step ``[N, W, 2, H, K]``; return all so far ``[N, length, 2, H, K]``."""
        start, beams = self.length, keys_values.shape[1]
        self.length += beams
        if self.length > self.keys_values.shape[1]:
            self.keys_values = F.pad(self.keys_values, (0, 0, 0, 0, 0, 0, 0, ROOM * beams))
        self.keys_values[:, start : self.length] = keys_values
        return self.keys_values[:, : self.length]

    def select(self, index: Tensor) -> Past:
        """Sources ``index``."""
        return Past(self.keys_values.index_select(0, index), self.length)


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention to its own input (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key_value = linear(width, width, blocks=3)
        self.output = linear(width, width)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, past: Past | None = None, causal: bool = False
    ) -> Tensor:
        """``[B, T, D]`` → ``[B, T, D]``; attends where ``mask`` is True, or if causal up to each own position."""
        x = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))  # [B, T, 3, H, K]
        query, keys_values = x[:, :, 0], x[:, :, 1:]
        if past is not None:
            keys_values = past.append(keys_values)
        dropout = self.dropout if self.training else 0.0
        return self.output(attend(query, keys_values, mask, dropout, causal))


class CrossAttention(nn.Module):
    """The same to the encoder's outputs, whose keys and values are computed once."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = linear(width, width)
        self.key_value = linear(width, width, blocks=2)
        self.output = linear(width, width)

    def keys_values(self, x: Tensor) -> Tensor:
        """What queries meet at each position: ``[B, S, D]`` → ``[B, S, 2, H, K]``."""
        return self.key_value(x).unflatten(-1, (2, self.heads, -1))  # [B, S, 2, H, K]

    def forward(self, x: Tensor, keys_values: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` → ``[B, T, D]``; attends where ``mask`` ``[B, 1, 1, S]`` is True."""
        query = self.query(x).unflatten(-1, (self.heads, -1))  # [B, T, H, K]
        return self.output(attend(query, keys_values, mask, self.dropout if self.training else 0.0))


def attend(
    query: Tensor, keys_values: Tensor, mask: Tensor | None, dropout: float, causal: bool = False
) -> Tensor:
    """Query ``[B, T, H, K]`` meets keys and values ``[B, S, 2, H, K]`` → ``[B, T, D]``."""
    key, value = keys_values.permute(2, 0, 3, 1, 4)  # [B, H, S, K] each
    x = F.scaled_dot_product_attention(
        query.transpose(1, 2), key, value, mask, dropout, causal
    )  # [B, H, T, K]
    return x.transpose(1, 2).flatten(2)  # [B, T, D]


class EncoderLayer(nn.Module):
    """x + attention(norm x), then x + ffn(norm x)."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.self_norm, self.self_attention = (
            nn.LayerNorm(width),
            SelfAttention(width, heads, dropout),
        )
        self.ffn_norm, self.ffn = nn.LayerNorm(width), feed_forward(width, ffn, dropout)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """``[B, S, D]`` → ``[B, S, D]``."""
        x = x + self.dropout(self.self_attention(self.self_norm(x), present))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))


class DecoderLayer(nn.Module):
    """x + self-attention(norm x), then x + cross-attention(norm x), then x + ffn(norm x)."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.self_norm, self.self_attention = (
            nn.LayerNorm(width),
            SelfAttention(width, heads, dropout),
        )
        self.cross_norm, self.cross_attention = (
            nn.LayerNorm(width),
            CrossAttention(width, heads, dropout),
        )
        self.ffn_norm, self.ffn = nn.LayerNorm(width), feed_forward(width, ffn, dropout)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        present: Tensor,
        past: Past | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """A whole prefix ``[B, T, D]``, or after ``past`` a step of W hypotheses ``[N, W, D]`` → the same shape."""
        y = self.self_attention(self.self_norm(x), seen, past, causal=past is None)
        x = x + self.dropout(y)
        x = x + self.dropout(self.cross_attention(self.cross_norm(x), memory, present))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))


def feed_forward(width: int, ffn: int, dropout: float) -> nn.Sequential:
    """W₂ relu(W₁ x)."""
    return nn.Sequential(linear(width, ffn), nn.ReLU(), nn.Dropout(dropout), linear(ffn, width))


NAMES = {"transformer": partial(Transformer)}
