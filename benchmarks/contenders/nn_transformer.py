"""``torch.nn.Transformer`` with embeddings, sinusoids and tied output: our network and weights."""

from __future__ import annotations

import re
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.losses.sequence import nll
from agents.policies.layers import positions
from agents.policies.transformer import TransformerPolicy
from agents.precision import precision
from benchmarks.material import DROPOUT, HEADS, SIZES, Setup, Work, batches, training, transformer
from textgen_env.types import PAD, Batch


class TorchTransformer(nn.Module):
    """The same function as the pre-norm ``policy``, up to dropout."""

    def __init__(self, policy: TransformerPolicy, layers: int, ffn: int) -> None:
        super().__init__()
        vocabulary, width = policy.target_embedding.weight.shape
        self.source, self.target = nn.Embedding(vocabulary, width), nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(DROPOUT)
        self.core = nn.Transformer(
            width, HEADS, layers, layers, ffn, DROPOUT, batch_first=True, norm_first=True
        )
        self.positions = nn.Buffer(positions(512, width, torch.device("cpu")).clone())
        self.load_state_dict(_renamed(policy) | {"positions": self.positions})

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor) -> Tensor:
        """Logits ``[N, V]`` where ``mask`` ``[B, T]`` is True."""
        causal = nn.Transformer.generate_square_subsequent_mask(prefix.shape[1])
        padding = dict.fromkeys(("src_key_padding_mask", "memory_key_padding_mask"), source == PAD)
        encoder, decoder = self.embed(self.source, source), self.embed(self.target, prefix)
        hidden = self.core(encoder, decoder, tgt_mask=causal, tgt_is_causal=True, **padding)
        return F.linear(hidden[mask], self.target.weight)

    def embed(self, table: nn.Embedding, token: Tensor) -> Tensor:
        """Scaled embeddings plus positions, with dropout."""
        return self.dropout(
            table(token) * table.embedding_dim**0.5 + self.positions[: token.shape[1]]
        )


class Contender:
    """Trains with ``torch.nn.Transformer``."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def train(self, size: str, amp: str) -> Work:
        """Forward, loss, backward and Adam; counts target tokens."""
        layers, ffn = SIZES[size]
        model = TorchTransformer(transformer(self.setup, size), layers, ffn * self.setup.width)

        def loss(batch: Batch) -> Tensor:
            mask = batch.mask
            with precision(amp, "cpu"):
                return nll(model(batch.source, batch.prefix, mask), batch.target[mask])

        return training(model, loss, batches(self.setup))


ENCODER = {  # ours → torch's
    "self_norm.": "norm1.",
    "self_attention.output.": "self_attn.out_proj.",
    "ffn_norm.": "norm2.",
    "ffn.0.": "linear1.",
    "ffn.3.": "linear2.",
}
DECODER = ENCODER | {
    "cross_norm.": "norm2.",
    "cross_attention.output.": "multihead_attn.out_proj.",
    "ffn_norm.": "norm3.",
}
# In torch, query, key and value are one matrix.
INPUTS = {"self_attention": "self_attn", "cross_attention": "multihead_attn"}


def _renamed(policy: TransformerPolicy) -> dict[str, Tensor]:
    """The weights of ``policy`` under torch's names."""
    state = policy.state_dict()
    renamed = {f"{side}.weight": state[f"{side}_embedding.weight"] for side in ("source", "target")}
    for kind, (side, names) in product(
        ("weight", "bias"), (("encoder", ENCODER), ("decoder", DECODER))
    ):
        renamed[f"core.{side}.norm.{kind}"] = state[f"{side}_norm.{kind}"]
        for layer, (ours, theirs) in product(range(len(getattr(policy, side))), names.items()):
            renamed[f"core.{side}.layers.{layer}.{theirs}{kind}"] = state[
                f"{side}.{layer}.{ours}{kind}"
            ]
        for layer, (ours, theirs) in product(range(len(getattr(policy, side))), INPUTS.items()):
            parts = [
                x
                for name, x in state.items()
                if re.match(rf"{side}.{layer}.{ours}.(query|key).*{kind}$", name)
            ]
            if parts:
                renamed[f"core.{side}.layers.{layer}.{theirs}.in_proj_{kind}"] = torch.cat(parts)
    return renamed
