"""The recurrent encoder–decoder with dot-product attention (Luong et al. 2015), tied output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.policies.cells import CELLS, Hidden, Layer, reversal_index
from agents.policies.layers import LAYERS, WIDTH, linear
from agents.policies.layers import embedding as token_embedding
from textgen_env.errors import Range, check_range, unknown
from textgen_env.types import PAD, select_positions


class RNNPolicy(nn.Module):
    """Recurrent encoder–decoder: a bidirectional encoder and a decoder with attention.

    Each decoder layer starts from the final outputs, in both directions, of the encoder layer at
    the same height. Attention follows the recurrent stack and is not fed back into it, as in Lin et
    al. 2020, so that all positions are computed at once. The output is tanh(W_h h + W_c Σ p_s m_s +
    b) (Luong et al., equation 5), projected to the embedding's width; W_c is applied to the
    encoder's states m once per sentence instead of once per step.

    Args:
        vocabulary_size: V, tokens of the vocabulary shared by source and target.
        cell: gru, lstm or sru.
        encoder_layers: layers of the bidirectional encoder.
        decoder_layers: layers of the decoder.
        encoder_width: size of the encoder's hidden state, per direction.
        width: size of the decoder's hidden state; a linear map connects the two where
            2·encoder_width differs from it.
        embedding: size of the token embeddings, input and output.
        projection: project the input of every layer to this width first, a low-rank factor of its
            matrices; 0 for no projection.
        layer_norm: normalize the input of every layer.
        dropout: dropout rate of layer inputs and outputs in training.
        share_source_embedding: use one embedding for source and target instead of two.
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
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise unknown("cell", cell, CELLS)
        check_range("encoder_layers", encoder_layers, LAYERS)
        check_range("decoder_layers", decoder_layers, LAYERS)
        check_range("encoder_width", encoder_width, WIDTH)
        check_range("width", width, WIDTH)
        check_range("embedding", embedding, WIDTH)
        check_range("projection", projection, Range(0, WIDTH.most))
        check_range("dropout", dropout, Range(0, 1, "most"))
        self.vocabulary_size, self.encoder_width = vocabulary_size, encoder_width
        self.feature_width = embedding
        self.dropout = nn.Dropout(dropout)
        self.target_embedding = token_embedding(vocabulary_size, embedding)
        self.source_embedding = (
            None if share_source_embedding else token_embedding(vocabulary_size, embedding)
        )
        layer = partial(Layer, CELLS[cell], projection=projection, layer_norm=layer_norm)
        both = 2 * encoder_width
        encoder_inputs = [embedding] + [both] * (encoder_layers - 1)
        decoder_inputs = [embedding] + [width] * (decoder_layers - 1)
        self.encoder = nn.ModuleList(
            layer(size, encoder_width, directions=2) for size in encoder_inputs
        )
        self.decoder = nn.ModuleList(layer(size, width, directions=1) for size in decoder_inputs)
        self.starts = nn.ModuleList(bridge(both, width) for _ in range(decoder_layers))
        self.keys = bridge(both, width)
        self.values = linear(both, width, bias=False)  # W_c
        self.combine = linear(width, width)  # W_h, b
        self.narrow = linear(width, embedding)

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``[B, T, V]``, or ``[N, V]`` where ``mask`` ``[B, T]`` is True."""
        return self.head(self.features(source, prefix, mask))

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Inputs of the output layer: ``[B, T, D]``, or ``[N, D]`` where ``mask`` is True."""
        memory, starts = self.encode(source)
        x = self.embed(self.target_embedding, prefix.t())  # [T, B, D]
        for layer, start in zip(self.decoder, starts, strict=True):
            x = layer(self.dropout(x), start)
        x = x.transpose(0, 1)  # [B, T, D]
        context = dot_product_attention(x, *memory)  # [B, T, D]
        if mask is not None:
            x, context = select_positions(x, mask), select_positions(context, mask)  # [N, D] each
        return self.combined(x, context)

    def head(self, features: Tensor) -> Tensor:
        """The output layer, tied to the target embedding: ``[..., D]`` → ``[..., V]``."""
        return F.linear(features, self.target_embedding.weight)

    def encode(self, source: Tensor) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Encode ``source`` ``[B, S]``.

        Returns:
            What the decoder attends to: keys and values ``[B, S, W]`` and the mask of real tokens,
            bool ``[B, 1, S]``; and for each decoder layer the ``[B, W]`` that it starts from.
        """
        present = source != PAD
        length = present.sum(1)  # [B]
        reversal = reversal_index(length, source.shape[1])
        row, last = torch.arange(len(source), device=source.device), (length - 1).clamp(min=0)
        x = self.embed(self.source_embedding or self.target_embedding, source.t())  # [S, B, D]
        ends = []
        for layer in self.encoder:
            x = layer(self.dropout(x), reversal=reversal)
            forward, backward = x[last, row, : self.encoder_width], x[0, :, self.encoder_width :]
            ends.append(torch.cat([forward, backward], 1))  # [B, D]
        lift = len(self.encoder) - len(self.decoder)
        starts = [start(ends[max(0, i + lift)]).float() for i, start in enumerate(self.starts)]
        x = x.transpose(0, 1)  # [B, S, D]
        return (self.keys(x), self.values(x), present[:, None]), starts

    def embed(self, table: nn.Embedding, token: Tensor) -> Tensor:
        """Tokens ``[...]`` → ``[..., D]``."""
        return table(token) * math.sqrt(table.embedding_dim)

    def combined(self, x: Tensor, context: Tensor) -> Tensor:
        """Features ``[..., D]`` from hidden states and attention outputs, ``[..., W]`` each."""
        return self.narrow(self.dropout(torch.tanh(self.combine(x) + context)))

    def start(self, source: Tensor, limit: int) -> RNNState:
        """Encode once; the state has the same size after any number of steps."""
        memory, starts = self.encode(source)
        layers = zip(self.decoder, starts, strict=True)
        hidden = [layer.begin(start) for layer, start in layers]  # type: ignore[operator]
        return RNNState(Memory(memory, torch.arange(len(source), device=source.device)), hidden)

    def step(self, token: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        """One step for ``token`` ``[B]`` → ``[B, V]``."""
        x, next_hidden = self.embed(self.target_embedding, token), []  # [B, D]
        for layer, hidden in zip(self.decoder, state.hidden, strict=True):
            x, hidden = layer.step(x, hidden)  # type: ignore[operator]
            next_hidden.append(hidden)
        context = dot_product_attention(x[:, None], *state.memory.tensors)[:, 0]  # [B, D]
        return self.head(self.combined(x, context)), RNNState(state.memory, next_hidden)


@dataclass(frozen=True, slots=True)
class RNNState:
    """Decoding state: the encoded sources, and the hidden state of every layer."""

    memory: Memory
    hidden: list[Hidden]

    def select(self, index: Tensor) -> RNNState:
        """Rows ``index``."""
        hidden = [tuple(tensor.index_select(0, index) for tensor in layer) for layer in self.hidden]
        return RNNState(self.memory.select(index), hidden)


@dataclass(frozen=True, slots=True)
class Memory:
    """The encoded sources that the rows of a decode attend to.

    A beam search reorders the hypotheses of a source at every step; that copies no tensors.

    Attributes:
        tensors: ``[B, …]`` each.
        owner: ``[B]``, the source of each row.
    """

    tensors: tuple[Tensor, ...]
    owner: Tensor

    def select(self, index: Tensor) -> Memory:
        """Rows ``index``."""
        owner = self.owner[index]
        if torch.equal(owner, self.owner):
            return self
        return Memory(tuple(tensor.index_select(0, index) for tensor in self.tensors), owner)


def dot_product_attention(query: Tensor, keys: Tensor, values: Tensor, present: Tensor) -> Tensor:
    """Dot-product attention with one head: ``[B, T, D]`` → ``[B, T, D]``."""
    query, keys, values, present = (x[:, None] for x in (query, keys, values, present))
    return F.scaled_dot_product_attention(query, keys, values, present)[:, 0]


def bridge(inputs: int, outputs: int) -> nn.Module:
    """A linear map from the encoder's width to the decoder's, where they differ."""
    return nn.Identity() if inputs == outputs else linear(inputs, outputs, bias=False)


NAMES = {cell: partial(RNNPolicy, cell=cell) for cell in CELLS}
