"""The encoder–decoder transformer (Vaswani et al. 2017), pre-norm, with tied output embedding."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.policies.layers import LAYERS, WIDTH, apply, embedding, feed_forward, linear, positions
from textgen_env.errors import Range, UserError, check_range
from textgen_env.types import PAD, select_positions

CACHE_STEPS = 8  # the key–value cache grows by this many steps at a time


class Transformer(nn.Module):
    """Transformer encoder–decoder (Vaswani et al. 2017).

    Attributes:
        checkpointing: whether the backward pass computes the layers again, to save memory.

    Args:
        vocabulary_size: V, tokens of the vocabulary shared by source and target.
        layers: encoder layers, and decoder layers unless decoder_layers is set.
        decoder_layers: decoder layers; null for the value of layers.
        width: D, size of the hidden states.
        heads: attention heads; must divide the width.
        ffn: size of the feed-forward layers.
        dropout: dropout rate of activations and attention weights in training.
        share_source_embedding: use one embedding for source and target instead of two.
    """

    checkpointing = False

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
        check_range("width", width, WIDTH)
        check_range("heads", heads, WIDTH)
        check_range("ffn", ffn, WIDTH)
        if width % heads:
            raise UserError(f"width={width} heads={heads}: heads must divide width")
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
            x = apply(layer, self.checkpointing, x, keys_values, present)
        return self.decoder_norm(x if mask is None else select_positions(x, mask))

    def head(self, features: Tensor) -> Tensor:
        """The output layer, tied to the target embedding: ``[..., D]`` → ``[..., V]``."""
        return F.linear(features, self.target_embedding.weight)

    def encode(self, source: Tensor) -> tuple[Tensor, ...]:
        """Encode ``source`` ``[B, S]``.

        Returns:
            Keys and values ``[B, S, 2, H, K]`` for each decoder layer, and last the mask of real
            tokens ``[B, 1, 1, S]``.
        """
        present = (source != PAD)[:, None, None]  # [B, 1, 1, S]
        x = self.dropout(self.embed(self.source_embedding or self.target_embedding, source))
        for layer in self.encoder:
            x = apply(layer, self.checkpointing, x, present)
        x = self.encoder_norm(x)  # [B, S, D]
        attentions: list[Any] = [layer.cross_attention for layer in self.decoder]
        return *(attention.keys_values(x) for attention in attentions), present

    def embed(self, table: nn.Embedding, token: Tensor) -> Tensor:
        """Tokens ``[B, T]`` at positions 0 … T-1 → ``[B, T, D]``."""
        x = table(token) * math.sqrt(self.width)
        return x + positions(token.shape[1], self.width, token.device)

    def start(self, source: Tensor, limit: int) -> TransformerState:
        """Encode ``source`` ``[B, S]`` once, for at most ``limit`` steps."""
        memory = self.encode(source)
        caches = [KVCache(keys_values[:, :0], 0) for keys_values in memory[:-1]]
        table = positions(limit, self.width, source.device)
        return TransformerState(0, table, 1, caches, None, memory)

    def step(self, token: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        """One step for ``token`` ``[B]`` → ``[B, V]``; consumes ``state``."""
        x = self.target_embedding(token) * math.sqrt(self.width) + state.positions[state.time]
        x = x.view(-1, state.beams, self.width)  # [N, W, D]
        (*memory, present), visible = state.memory, state.visible
        if visible is not None:
            new = torch.eye(state.beams, dtype=torch.bool, device=visible.device)
            visible = torch.cat([visible, new.expand(len(visible), 1, -1, -1)], 3)  # [N, 1, W, R]
        for layer, keys_values, cache in zip(self.decoder, memory, state.caches, strict=True):
            # forward, not a call: a compiled layer is for whole sequences
            x = layer.forward(x, keys_values, present, cache, visible)
        logits = self.head(self.decoder_norm(x.flatten(0, 1)))
        return logits, replace(state, time=state.time + 1, visible=visible)


@dataclass(frozen=True, slots=True)
class TransformerState:
    """Decoding state of N sources with W adjacent hypotheses each: B = N·W rows.

    The hypotheses of a source share its encoding and one key–value cache. A beam search that
    reorders them copies no keys and values: ``visible`` masks the cache entries of a hypothesis.

    Attributes:
        time: number of steps so far.
        positions: ``[limit, D]``, the positional encodings of all steps.
        beams: W.
        caches: of each decoder layer.
        visible: ``[N, 1, W, R]`` bool over the R cache entries; None: every row sees all of them.
        memory: as returned by ``Transformer.encode``.
    """

    time: int
    positions: Tensor
    beams: int
    caches: list[KVCache]
    visible: Tensor | None
    memory: tuple[Tensor, ...]

    def select(self, index: Tensor) -> TransformerState:
        """Rows ``index``; this state must not be used again."""
        source, count = (index // self.beams).unique_consecutive(return_counts=True)
        beams = max(1, len(index) // max(1, len(source)))
        if (count != beams).any():
            source, beams = index // self.beams, 1
        caches, visible, memory = self.caches, self.visible, self.memory
        if visible is not None or beams > 1:
            if visible is None:
                shape = len(index), caches[0].length
                visible = torch.ones(shape, dtype=torch.bool, device=index.device)  # [B', R]
            else:
                visible = visible.flatten(0, 2)[index]  # [B', R]
            visible = visible.unflatten(0, (len(source), 1, beams))  # [N, 1, W, R]
        if not torch.equal(source, torch.arange(len(memory[0]), device=index.device)):
            caches = [cache.select(source) for cache in caches]
            memory = tuple(tensor.index_select(0, source) for tensor in memory)
        return TransformerState(self.time, self.positions, beams, caches, visible, memory)


@dataclass(slots=True)
class KVCache:
    """Keys and values of a layer ``[N, capacity, 2, H, K]``; the first ``length`` are in use."""

    keys_values: Tensor
    length: int

    def append(self, keys_values: Tensor) -> Tensor:
        """Add a step ``[N, W, 2, H, K]``; return all entries so far ``[N, length, 2, H, K]``."""
        start, beams = self.length, keys_values.shape[1]
        self.length += beams
        if self.length > self.keys_values.shape[1]:
            self.keys_values = F.pad(self.keys_values, (*[0] * 7, CACHE_STEPS * beams))
        self.keys_values[:, start : self.length] = keys_values
        return self.keys_values[:, : self.length]

    def select(self, index: Tensor) -> KVCache:
        """Sources ``index``."""
        return KVCache(self.keys_values.index_select(0, index), self.length)


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key_value = linear(width, width, blocks=3)
        self.output = linear(width, width)

    def forward(
        self, x: Tensor, mask: Tensor | None, cache: KVCache | None = None, causal: bool = False
    ) -> Tensor:
        """``[B, T, D]`` → ``[B, T, D]``; attends where ``mask`` is True, and causally if asked."""
        x = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))  # [B, T, 3, H, K]
        query, keys_values = x[:, :, 0], x[:, :, 1:]
        if cache is not None:
            keys_values = cache.append(keys_values)
        dropout = self.dropout if self.training else 0.0
        return self.output(multi_head_attention(query, keys_values, mask, dropout, causal))


class CrossAttention(nn.Module):
    """Multi-head attention to the encoder's outputs, whose keys and values are computed once."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = linear(width, width)
        self.key_value = linear(width, width, blocks=2)
        self.output = linear(width, width)

    def keys_values(self, x: Tensor) -> Tensor:
        """Keys and values of the encoder's outputs: ``[B, S, D]`` → ``[B, S, 2, H, K]``."""
        return self.key_value(x).unflatten(-1, (2, self.heads, -1))  # [B, S, 2, H, K]

    def forward(self, x: Tensor, keys_values: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` → ``[B, T, D]``; attends where ``mask`` ``[B, 1, 1, S]`` is True."""
        query = self.query(x).unflatten(-1, (self.heads, -1))  # [B, T, H, K]
        return self.output(
            multi_head_attention(query, keys_values, mask, self.dropout if self.training else 0.0)
        )


def multi_head_attention(
    query: Tensor, keys_values: Tensor, mask: Tensor | None, dropout: float, causal: bool = False
) -> Tensor:
    """Attention of ``[B, T, H, K]`` to keys and values ``[B, S, 2, H, K]`` → ``[B, T, D]``."""
    key, value = keys_values.permute(2, 0, 3, 1, 4)  # [B, H, S, K] each
    query = query.transpose(1, 2)  # [B, H, T, K]
    x = F.scaled_dot_product_attention(query, key, value, mask, dropout, causal)  # [B, H, T, K]
    return x.transpose(1, 2).flatten(2)  # [B, T, D]


class EncoderLayer(nn.Module):
    """x + attention(norm x), then x + ffn(norm x)."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = SelfAttention(width, heads, dropout)
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
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = SelfAttention(width, heads, dropout)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = CrossAttention(width, heads, dropout)
        self.ffn_norm, self.ffn = nn.LayerNorm(width), feed_forward(width, ffn, dropout)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        present: Tensor,
        cache: KVCache | None = None,
        visible: Tensor | None = None,
    ) -> Tensor:
        """Encode a whole prefix or, with a cache, one step; the shape of ``x`` is kept.

        Args:
            x: ``[B, T, D]``, or ``[N, W, D]`` for one step of the W hypotheses of N sources.
            memory: keys and values of the source ``[N, S, 2, H, K]``.
            present: mask of real source tokens ``[N, 1, 1, S]``.
            cache: keys and values of the previous steps.
            visible: mask over the cache entries ``[N, 1, W, R]``.
        """
        y = self.self_attention(self.self_norm(x), visible, cache, causal=cache is None)
        x = x + self.dropout(y)
        x = x + self.dropout(self.cross_attention(self.cross_norm(x), memory, present))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))


NAMES = {"transformer": partial(Transformer)}
