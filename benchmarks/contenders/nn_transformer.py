"""``torch.nn.Transformer`` with embeddings, sinusoids and tied output: our network and weights, as any user would write it."""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.losses.sequence import nll
from agents.policies.layers import positions
from agents.policies.transformer import Transformer
from agents.precision import precision
from benchmarks.material import DROPOUT, HEADS, SIZES, Setup, Work, batches, training, transformer
from textgen_env.types import PAD, Batch


class Plain(nn.Module):
    """The same function as the pre-norm ``policy``, while nothing is dropped."""

    def __init__(self, policy: Transformer, layers: int, ffn: int) -> None:
        super().__init__()
        vocabulary, width = policy.target_embedding.shape
        self.source, self.target = nn.Embedding(vocabulary, width), nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(DROPOUT)
        self.core = nn.Transformer(width, HEADS, layers, layers, ffn, DROPOUT, batch_first=True, norm_first=True)
        self.places = nn.Buffer(positions(512, width, torch.device("cpu")).clone())
        self.load_state_dict(_renamed(policy) | {"places": self.places})

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor) -> Tensor:
        """Logits ``[N, V]`` where ``mask`` ``[B, T]`` is True."""
        absent, future = source == PAD, nn.Transformer.generate_square_subsequent_mask(prefix.shape[1])
        padding = {"src_key_padding_mask": absent, "memory_key_padding_mask": absent}
        read, write = self.embed(self.source, source), self.embed(self.target, prefix)
        hidden = self.core(read, write, tgt_mask=future, tgt_is_causal=True, **padding)
        return F.linear(hidden[mask], self.target.weight)

    def embed(self, table: nn.Embedding, token: Tensor) -> Tensor:
        return self.dropout(table(token) * table.embedding_dim**0.5 + self.places[: token.shape[1]])


class Contender:
    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def train(self, size: str, amp: str) -> Work:
        """Forward, loss, backward and Adam; counts target tokens."""
        layers, ffn = SIZES[size]
        model = Plain(transformer(self.setup, size), layers, ffn * self.setup.width)

        def loss(batch: Batch) -> Tensor:
            mask = batch.mask
            with precision(amp, "cpu"):
                return nll(model(batch.source, batch.prefix, mask), batch.target[mask])

        return training(model, loss, batches(self.setup))


ENCODER = {  # ours → torch's
    "self_norm.": "norm1.",
    "self_input.": "self_attn.in_proj_",
    "self_output.": "self_attn.out_proj.",
    "ffn.norm.": "norm2.",
    "ffn.up.": "linear1.",
    "ffn.down.": "linear2.",
}
DECODER = ENCODER | {"cross_norm.": "norm2.", "cross_output.": "multihead_attn.out_proj.", "ffn.norm.": "norm3."}


def _renamed(policy: Transformer) -> dict[str, Tensor]:
    """The weights of ``policy`` under torch's names."""
    state = policy.state_dict()
    found = {"source.weight": state["source_embedding"], "target.weight": state["target_embedding"]}
    for kind in ("weight", "bias"):
        for side, names in (("encoder", ENCODER), ("decoder", DECODER)):
            found[f"core.{side}.norm.{kind}"] = state[f"{side}_norm.{kind}"]
            for layer, (ours, theirs) in product(range(len(getattr(policy, side))), names.items()):
                found[f"core.{side}.layers.{layer}.{theirs}{kind}"] = state[f"{side}.{layer}.{ours}{kind}"]
        for layer, memory in enumerate(state[f"memory.{kind}"].chunk(len(policy.decoder))):
            cross = torch.cat([state[f"decoder.{layer}.cross_input.{kind}"], memory])
            found[f"core.decoder.layers.{layer}.multihead_attn.in_proj_{kind}"] = cross
    return found
