"""The recurrent encoder–decoder with dot-product attention (Luong et al. 2015), output tied to the target embedding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.accel.fast import compute_dtype, linear
from agents.policies.cells import CELLS, Hidden, backwards
from agents.policies.layers import LAYERS, NEVER, WIDTH, Dropout, Linear, attention
from textgen_env.errors import Range, check_range, unknown
from textgen_env.types import PAD, picked


class RNN(nn.Module):
    """π(a | s) by a bidirectional encoder and a decoder that attends to it; a ``textgen_env.types.Policy``.

    A decoder layer starts from the last outputs, in both directions, of the encoder layer at its height.  Attention comes
    after the recurrent stack and does not feed back into it, as in Lin et al. 2020: all positions are computed at once.
    An output is tanh(W_h h + W_c Σ p_s m_s + b) (Luong et al., equation 5), narrowed to the embedding's width; W_c meets the
    encoder's states m once a sentence and not once a step.

    Args:
        vocabulary_size: V, tokens of the vocabulary that source and target share.
        cell: gru, lstm or sru.
        encoder_layers: layers of the bidirectional encoder.
        decoder_layers: layers of the decoder.
        encoder_width: size of the encoder's hidden state, each way.
        width: size of the decoder's hidden state; what comes from the encoder gets a linear map if twice encoder_width differs.
        embedding: size of a token's representation, in and out.
        projection: every layer's input is first projected to this width, a low-rank factor of its matrices; 0 for none.
        layer_norm: normalise the input of every layer.
        dropout: rate at which layer inputs and outputs are dropped in training, in steps of 1/256.
        share_source_embedding: one embedding for source and target instead of two.
        generator: draws the weights, then the dropout masks.
    """

    def __init__(
        self,
        vocabulary_size: int,
        cell: str = "gru",
        encoder_layers: int = 2,
        decoder_layers: int = 2,
        encoder_width: int = 256,
        width: int = 512,
        embedding: int = 256,
        projection: int = 0,
        layer_norm: bool = False,
        dropout: float = 0.1,
        share_source_embedding: bool = False,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise unknown("cell", cell, CELLS)
        check_range("encoder_layers", encoder_layers, LAYERS)
        check_range("decoder_layers", decoder_layers, LAYERS)
        for key, value in (("encoder_width", encoder_width), ("width", width), ("embedding", embedding)):
            check_range(key, value, WIDTH)
        check_range("projection", projection, Range(0, WIDTH.most))
        check_range("dropout", dropout, Range(0, 1, "most"))
        self.vocabulary_size, self.generator = vocabulary_size, generator
        self.embedding, self.encoder_width = embedding, encoder_width
        self.feature_width = embedding
        self.dropout = Dropout(dropout, generator)
        self.target_embedding = _embedding(vocabulary_size, embedding, generator)
        self.source_embedding = None if share_source_embedding else _embedding(vocabulary_size, embedding, generator)
        layer = partial(CELLS[cell], projection=projection, layer_norm=layer_norm, generator=generator)
        both = 2 * encoder_width
        inputs = [embedding] + [both] * (encoder_layers - 1), [embedding] + [width] * (decoder_layers - 1)
        self.encoder = nn.ModuleList(layer(size, encoder_width, directions=2) for size in inputs[0])
        self.decoder = nn.ModuleList(layer(size, width, directions=1) for size in inputs[1])
        self.starts = nn.ModuleList(_bridge(both, width, generator) for _ in range(decoder_layers))
        self.keys = _bridge(both, width, generator)
        self.values = Linear(both, width, generator, bias=False)  # W_c
        self.combine = Linear(width, width, generator)  # W_h, b
        self.narrow = Linear(width, embedding, generator)

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``[B, T, V]``, or ``[N, V]`` where ``mask`` ``[B, T]`` is True, in the precision asked for."""
        return self.head(self.features(source, prefix, mask))

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the output layer reads: ``[B, T, embedding]``, or ``[N, embedding]`` where ``mask`` is True."""
        memory, starts = self.encode(source)
        x = self.embed(self.target_embedding, prefix.t())  # [T, B, D]
        for layer, start in zip(self.decoder, starts, strict=True):
            x = layer(self.dropout(x), start)
        x = x.transpose(0, 1)  # [B, T, D]
        context = memory.read(x)  # [B, T, D]
        if mask is not None:
            x, context = picked(x, mask), picked(context, mask)  # [N, D] each
        return self.combined(x, context)

    def encode(self, source: Tensor) -> tuple[Memory, list[Tensor]]:
        """What the decoder attends to, and the ``[B, W]`` that each of its layers starts from."""
        length = (source != PAD).sum(1)  # [B]
        back = backwards(length, source.shape[1])
        last, row = (length - 1).clamp(min=0), torch.arange(len(source), device=source.device)
        table = self.target_embedding if self.source_embedding is None else self.source_embedding
        x, ends = self.embed(table, source.t()), []  # [S, B, D]
        for layer in self.encoder:
            x = layer(self.dropout(x), back=back)
            ends.append(torch.cat([x[last, row, : self.encoder_width], x[0, :, self.encoder_width :]], 1))  # [B, D]
        lift = len(self.encoder) - len(self.decoder)
        starts = [bridge(ends[max(0, i + lift)]).float() for i, bridge in enumerate(self.starts)]
        absent = torch.where(source == PAD, NEVER, 0.0).to(x.dtype)[:, None]  # [B, 1, S]
        x = x.transpose(0, 1).contiguous()  # [B, S, D]
        return Memory(self.keys(x), self.values(x), absent, 1), starts

    def embed(self, table: Tensor, token: Tensor) -> Tensor:
        """Tokens ``[...]`` → ``[..., D]`` in the precision asked for."""
        return (F.embedding(token, table) * math.sqrt(self.embedding)).to(compute_dtype(token.device))

    def combined(self, x: Tensor, context: Tensor) -> Tensor:
        """Hidden states and what they attended to, ``[..., D]`` each → features ``[..., embedding]``."""
        return self.narrow(self.dropout(torch.tanh(self.combine(x) + context)))

    def head(self, features: Tensor) -> Tensor:
        """The output layer, tied to the target embedding: ``[..., embedding]`` → ``[..., V]``."""
        return linear(features, self.target_embedding)

    def start(self, source: Tensor, steps: int) -> State:
        """Encode once; a recurrent state has the same size after any number of ``steps``."""
        memory, starts = self.encode(source)
        hidden = tuple(layer.begin(start) for layer, start in zip(self.decoder, starts, strict=True))  # type: ignore[operator]
        return State(memory, hidden)

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """One step for ``token`` ``[B]`` → ``[B, V]``."""
        x, after = self.embed(self.target_embedding, token), []  # [B, D]
        for layer, hidden in zip(self.decoder, state.hidden, strict=True):
            x, hidden = layer.step(x, hidden)  # type: ignore[operator]
            after.append(hidden)
        context = state.memory.read(x.unflatten(0, (-1, state.memory.beams))).flatten(0, 1)  # [B, D]
        return self.head(self.combined(x, context)), State(state.memory, tuple(after))


@dataclass(frozen=True, slots=True)
class Memory:
    """Encoded sources: keys and values ``[N, S, D]``, what to add to scores ``[N, 1, S]``; each is read by ``beams`` rows."""

    keys: Tensor
    values: Tensor
    absent: Tensor
    beams: int

    def read(self, query: Tensor) -> Tensor:
        """``[N, T, D]`` → ``[N, T, D]``."""
        return attention(query, self.keys, self.values, self.absent.expand(-1, query.shape[1], -1))

    def select(self, index: Tensor) -> Memory:
        """Rows ``index``.  Rows of one source share it, as long as every source has equally many, side by side."""
        owner, beams = (index // self.beams).unique_consecutive(return_counts=True)
        shared = int(beams[0]) if len(beams) else 1
        if (beams != shared).any():
            owner, shared = index // self.beams, 1
        if torch.equal(owner, torch.arange(len(self.keys), device=owner.device)):
            return Memory(self.keys, self.values, self.absent, shared)
        keys, values, absent = (tensor.index_select(0, owner) for tensor in (self.keys, self.values, self.absent))
        return Memory(keys, values, absent, shared)


@dataclass(frozen=True, slots=True)
class State:
    """A decode between two steps: the encoded sources and every layer's memory ``[B, W]``."""

    memory: Memory
    hidden: tuple[Hidden, ...]

    def select(self, index: Tensor) -> State:
        """Rows ``index``."""
        hidden = tuple(tuple(tensor.index_select(0, index) for tensor in layer) for layer in self.hidden)
        return State(self.memory.select(index), hidden)


def _embedding(vocabulary_size: int, size: int, generator: torch.Generator) -> nn.Parameter:
    """Rows of unit expected norm, so that tied logits start at unit scale; scaled by √D on the way in."""
    return nn.Parameter(torch.empty(vocabulary_size, size).normal_(0, size**-0.5, generator=generator))


def _bridge(inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
    return nn.Identity() if inputs == outputs else Linear(inputs, outputs, generator, bias=False)


NAMES = {cell: partial(RNN, cell=cell) for cell in CELLS}
