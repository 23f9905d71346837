"""The encoder–decoder transformer (Vaswani et al. 2017), pre-norm, output tied to the target embedding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.accel.fast import compute_dtype, linear, uncast
from agents.policies.layers import LAYERS, NEVER, WIDTH, Dropout, Linear, attention, positions
from textgen_env.errors import Range, UserError, check_range
from textgen_env.types import PAD, picked

ROOM = 32  # steps a decode makes room for at first; doubled when they are used up


class Transformer(nn.Module):
    """π(a | s) by self- and cross-attention; a ``textgen_env.types.Policy``.

    Args:
        vocabulary_size: V, tokens of the vocabulary that source and target share.
        layers: encoder layers, and decoder layers unless decoder_layers says otherwise.
        decoder_layers: decoder layers; null for as many as in the encoder.
        width: D, size of a token's representation.
        heads: attention heads; they divide the width.
        ffn: size of the feed-forward layers.
        dropout: rate at which activations and attention weights are dropped in training, in steps of 1/256.
        share_source_embedding: one embedding for source and target instead of two.
        generator: draws the weights, then the dropout masks.
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
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        check_range("layers", layers, LAYERS)
        check_range("decoder_layers", layers if decoder_layers is None else decoder_layers, LAYERS)
        for key, value in (("width", width), ("heads", heads), ("ffn", ffn)):
            check_range(key, value, WIDTH)
        if width % heads:
            raise UserError(f"width={width} heads={heads}: the heads must divide the width")
        check_range("dropout", dropout, Range(0, 1, "most"))
        decoder_layers = layers if decoder_layers is None else decoder_layers
        self.vocabulary_size, self.width, self.heads, self.generator = vocabulary_size, width, heads, generator
        self.feature_width = width
        self.dropout = drop = Dropout(dropout, generator)
        self.target_embedding = _embedding(vocabulary_size, width, generator)
        self.source_embedding = None if share_source_embedding else _embedding(vocabulary_size, width, generator)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads, ffn, drop, generator) for _ in range(layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.memory = Linear(width, width, generator, blocks=2 * decoder_layers)  # keys and values for every decoder layer
        self.decoder = nn.ModuleList(DecoderLayer(width, heads, ffn, drop, generator) for _ in range(decoder_layers))
        self.decoder_norm = nn.LayerNorm(width)
        self.encodings: Callable[[Tensor], Tensor] | None = None  # of a policy that does not change: stands in for ``read``

    def compile_layers(self, backend: str = "inductor") -> None:
        """Each layer's pass over whole sequences by torch.compile, for a policy that is only asked.

        One graph serves equal layers and all shapes.  Not for training: dropout draws outside of what can be compiled.
        """
        for layer in (*self.encoder, *self.decoder):
            layer.compile(backend=backend, dynamic=True)

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``[B, T, V]``, or ``[N, V]`` where ``mask`` ``[B, T]`` is True, in the precision asked for."""
        return self.head(self.features(source, prefix, mask))

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the output layer reads: ``[B, T, D]``, or ``[N, D]`` where ``mask`` is True."""
        length = prefix.shape[1]
        keys, values, absent = self.encode(source)  # [L, B·H, S, K] twice, [B·H, 1, S]
        future = torch.full((length, length), NEVER, dtype=keys.dtype, device=keys.device).triu_(1)  # [T, T]
        future = future.expand(len(absent), length, length)  # [B·H, T, T]
        absent = absent.expand(-1, length, -1)  # [B·H, T, S]
        x = self.dropout(self.embed(self.target_embedding, prefix, keys.dtype))
        for layer, key, value in zip(self.decoder, keys, values, strict=True):
            x = layer(x, key, value, future, absent)
        if mask is not None:
            x = picked(x, mask)  # [N, D]
        return self.decoder_norm(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What every decoder layer attends to: keys and values ``[L, B·H, S, K]``, what to add to scores ``[B·H, 1, S]``."""
        batch, length = source.shape
        absent = self._absent(source)  # [B·H, 1, S]
        learns = self.training or torch.is_grad_enabled()
        encoded = self.read(source) if learns or self.encodings is None else self.encodings(source)  # [B, S, D]
        memory = self.memory(encoded).view(batch, length, len(self.decoder), 2, self.heads, -1)
        keys, values = memory.permute(3, 2, 0, 4, 1, 5).flatten(2, 3)  # [L, B·H, S, K] each
        return keys, values, absent

    def read(self, source: Tensor) -> Tensor:
        """The encoder's output ``[B, S, D]``."""
        table = self.target_embedding if self.source_embedding is None else self.source_embedding
        x = self.dropout(self.embed(table, source, compute_dtype(source.device)))
        bias = self._absent(source).expand(-1, source.shape[1], -1).contiguous()  # [B·H, S, S]
        for layer in self.encoder:
            x = layer(x, bias)
        return self.encoder_norm(x)

    def _absent(self, source: Tensor) -> Tensor:
        """What to add to scores: ``[B·H, 1, S]``."""
        absent = torch.where(source == PAD, NEVER, 0.0).to(compute_dtype(source.device))  # [B, S]
        return absent.repeat_interleave(self.heads, 0)[:, None]

    def embed(self, table: Tensor, token: Tensor, dtype: torch.dtype) -> Tensor:
        """Tokens ``[B, T]`` at positions 0 … T-1 → ``[B, T, D]``."""
        place = positions(token.shape[1], self.width, token.device)
        return torch.add(place, F.embedding(token, table), alpha=math.sqrt(self.width)).to(dtype)

    def head(self, features: Tensor) -> Tensor:
        """The output layer, tied to the target embedding: ``[..., D]`` → ``[..., V]``."""
        return linear(features, self.target_embedding)

    def start(self, source: Tensor, steps: int) -> State:
        """Encode once; room for ``steps`` steps is made as they come."""
        keys, values, absent = (tensor.unflatten(-3, (-1, self.heads)) for tensor in self.encode(source))
        shape = (len(self.decoder), 2, len(source), self.heads, min(steps, ROOM), self.width // self.heads)
        return State(0, keys.new_empty(shape), 0, None, keys, values, absent[:, :1], 1)

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """One step for ``token`` ``[B]`` → ``[B, V]``; writes into ``state``, which must not be used again."""
        state = state.with_slots()
        time, used = state.time, state.cache[..., : state.slots, :]
        place = positions(time + 1, self.width, token.device)[time]
        x = torch.add(place, F.embedding(token, self.target_embedding), alpha=math.sqrt(self.width)).to(used.dtype)  # [B, D]
        with uncast(token.device):
            for i, layer in enumerate(self.decoder):  # with a gradient, what ``zip`` takes apart may not be written into
                x = layer.step(x, used[i], state.hidden, state.keys[i], state.values[i], state.absent)  # type: ignore[operator]
            return self.head(self.decoder_norm(x)), replace(state, time=time + 1)


@dataclass(frozen=True, slots=True)
class State:
    """A decode after ``time`` steps of N sources, each written for by ``beams`` consecutive rows, B = N · beams.

    cache ``[L, 2, N, H, room, K]``: self-attention keys and values, one slot a row and step, of which ``slots`` are in use ·
    hidden ``[N, 1, beams, slots]``: what to add to scores, so that a row sees those of its own past; None where it sees all ·
    keys, values ``[L, N, H, S, K]`` and absent ``[N, 1, 1, S]``: the encoded sources.
    """

    time: int
    cache: Tensor
    slots: int
    hidden: Tensor | None
    keys: Tensor
    values: Tensor
    absent: Tensor
    beams: int

    def select(self, index: Tensor) -> State:
        """Rows ``index``.  As long as every source keeps equally many, side by side, they share what was computed for it.

        So a beam search copies no keys and values: a hypothesis is told which slots of its source are its past.
        """
        sources = self.cache.shape[2]
        if torch.equal(index, torch.arange(sources * self.beams, device=index.device)):
            return self
        kept, counts = (index // self.beams).unique_consecutive(return_counts=True)
        beams = int(counts[0]) if len(counts) else 1
        if (counts != beams).any():
            kept, beams = index // self.beams, 1
        hidden = self.hidden
        if hidden is not None or beams > 1:
            seen = self.cache.new_zeros(sources, 1, self.beams, self.slots) if hidden is None else hidden
            hidden = seen.flatten(0, 2)[index].unflatten(0, (-1, 1, beams))  # [N', 1, beams', slots]
        if torch.equal(kept, torch.arange(sources, device=index.device)):
            return replace(self, hidden=hidden, beams=beams)
        cache = self.cache[..., : self.slots, :].index_select(2, kept)
        keys, values, absent = self.keys.index_select(1, kept), self.values.index_select(1, kept), self.absent[kept]
        return State(self.time, cache, self.slots, hidden, keys, values, absent, beams)

    def with_slots(self) -> State:
        """The same state with a slot more for every row."""
        slots, cache, hidden = self.slots + self.beams, self.cache, self.hidden
        if slots > cache.shape[4]:
            cache = cache.new_empty(*cache.shape[:4], max(slots, 2 * self.slots), cache.shape[5])
            cache[..., : self.slots, :] = self.cache[..., : self.slots, :]
        if hidden is not None:
            own = torch.full((self.beams, self.beams), NEVER, device=hidden.device).fill_diagonal_(0.0).to(hidden.dtype)
            hidden = torch.cat([hidden, own.expand(len(hidden), 1, -1, -1)], 3)  # [N, 1, beams, slots]
        return replace(self, cache=cache, slots=slots, hidden=hidden)


class EncoderLayer(nn.Module):
    """x + attention(norm x), then x + ffn(norm x)."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: Dropout, generator: torch.Generator) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.self_norm, self.self_input, self.self_output = _attention(width, 3, generator)
        self.ffn = FeedForward(width, ffn, dropout, generator)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        query, key, value = _split(self.self_input(self.self_norm(x)), self.heads, 3)
        x = x + self.dropout.after(self.self_output, _join(attention(query, key, value, bias, self.dropout), self.heads))
        return self.ffn(x)


class DecoderLayer(nn.Module):
    """x + self-attention(norm x), then x + cross-attention(norm x), then x + ffn(norm x)."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: Dropout, generator: torch.Generator) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.self_norm, self.self_input, self.self_output = _attention(width, 3, generator)
        self.cross_norm, self.cross_input, self.cross_output = _attention(width, 1, generator)
        self.ffn = FeedForward(width, ffn, dropout, generator)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, future: Tensor, absent: Tensor) -> Tensor:
        query, key, value = _split(self.self_input(self.self_norm(x)), self.heads, 3)
        x = x + self.dropout.after(self.self_output, _join(attention(query, key, value, future, self.dropout), self.heads))
        (query,) = _split(self.cross_input(self.cross_norm(x)), self.heads, 1)
        x = x + self.dropout.after(self.cross_output, _join(attention(query, keys, values, absent, self.dropout), self.heads))
        return self.ffn(x)

    def step(self, x: Tensor, cache: Tensor, hidden: Tensor | None, keys: Tensor, values: Tensor, absent: Tensor) -> Tensor:
        """One position ``[B, D]``; its keys and values go to the last slots of ``cache`` ``[2, N, H, slots, K]``."""
        _, sources, heads, _, size = cache.shape
        projected = self.self_input(self.self_norm(x)).view(sources, -1, 3, heads, size).permute(2, 0, 3, 1, 4)
        query, beams = projected[0], projected.shape[3]  # [N, H, beams, K]
        cache[..., -beams:, :] = projected[1:]
        x = x + self.self_output(_rows(F.scaled_dot_product_attention(query, cache[0], cache[1], hidden)))
        query = self.cross_input(self.cross_norm(x)).view(sources, beams, heads, size).transpose(1, 2)
        x = x + self.cross_output(_rows(F.scaled_dot_product_attention(query, keys, values, absent)))
        return self.ffn(x)


class FeedForward(nn.Module):
    """x + W₂ relu(W₁ norm x)."""

    def __init__(self, width: int, ffn: int, dropout: Dropout, generator: torch.Generator) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm = nn.LayerNorm(width)
        self.up, self.down = Linear(width, ffn, generator), Linear(ffn, width, generator)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(x).to(x.dtype)  # a GPU's autocast normalises in float32
        return x + self.dropout.after(self.down, self.dropout.after(self.up, inner, relu=True))


def _attention(width: int, blocks: int, generator: torch.Generator) -> tuple[nn.LayerNorm, Linear, Linear]:
    return nn.LayerNorm(width), Linear(width, width, generator, blocks=blocks), Linear(width, width, generator)


def _embedding(vocabulary_size: int, width: int, generator: torch.Generator) -> nn.Parameter:
    """Rows of unit expected norm, so that tied logits start at unit scale; scaled by √D on the way in."""
    return nn.Parameter(torch.empty(vocabulary_size, width).normal_(0, width**-0.5, generator=generator))


def _split(x: Tensor, heads: int, blocks: int) -> Tensor:
    """``[B, T, blocks·D]`` → ``[blocks, B·H, T, K]``."""
    batch, length, _ = x.shape
    x = x.view(batch, length, blocks, heads, -1).permute(2, 0, 3, 1, 4)  # [blocks, B, H, T, K]
    return x.flatten(1, 2)  # [blocks, B·H, T, K]


def _join(x: Tensor, heads: int) -> Tensor:
    """``[B·H, T, K]`` → ``[B, T, D]``."""
    rows, length, size = x.shape
    return x.view(rows // heads, heads, length, size).transpose(1, 2).reshape(rows // heads, length, heads * size)


def _rows(x: Tensor) -> Tensor:
    """``[N, H, beams, K]`` → ``[B, D]``."""
    return x.transpose(1, 2).flatten(2).flatten(0, 1)


NAMES = {"transformer": partial(Transformer)}
