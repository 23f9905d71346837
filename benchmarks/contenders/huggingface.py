"""Hugging Face transformers' Marian: the same sizes, but post-norm, so with weights of its own."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from transformers import MarianConfig, MarianMTModel
from transformers.utils import logging

from agents.precision import precision
from benchmarks.material import (
    DROPOUT,
    HEADS,
    SIZES,
    Decoding,
    Setup,
    Work,
    batches,
    sources,
    training,
)
from textgen_env.types import BOS, PAD, Batch


class Contender:
    def __init__(self, setup: Setup) -> None:
        logging.set_verbosity_error()
        self.setup = setup
        self.frozen = cache(
            lambda size, amp: (
                self.model(size).eval().to(torch.bfloat16 if amp == "bf16" else torch.float32)
            )
        )

    def model(self, size: str) -> MarianMTModel:
        """Separate embeddings, output tied to the target's; without an EOS, so that ``generate`` runs to its limit."""
        layers, ffn = SIZES[size]
        sides = {
            f"{side}_{name}": value
            for side in ("encoder", "decoder")
            for name, value in {
                "layers": layers,
                "attention_heads": HEADS,
                "ffn_dim": ffn * self.setup.width,
            }.items()
        }
        config = MarianConfig(
            vocab_size=self.setup.vocabulary,
            d_model=self.setup.width,
            **sides,
            dropout=DROPOUT,
            attention_dropout=DROPOUT,
            activation_dropout=DROPOUT,
            activation_function="relu",
            scale_embedding=True,
            share_encoder_decoder_embeddings=False,
            pad_token_id=PAD,
            decoder_start_token_id=BOS,
            eos_token_id=None,
            forced_eos_token_id=None,
        )
        torch.manual_seed(0)
        return MarianMTModel(config)

    def train(self, size: str, amp: str) -> Work:
        """Forward, loss, backward and Adam; counts target tokens."""
        model = self.model(size)

        def loss(batch: Batch) -> Tensor:
            labels = batch.target.masked_fill(~batch.mask, -100)
            with precision(amp, "cpu"):
                present = batch.source != PAD
                return model(
                    batch.source,
                    present,
                    decoder_input_ids=batch.prefix,
                    labels=labels,
                    use_cache=False,
                ).loss

        return training(model, loss, batches(self.setup))

    def decode(self, size: str, amp: str, **settings: int) -> Work:
        """``generate`` for ``Decoding(**settings)`` in weights of ``amp``, which beats autocast; counts tokens."""
        rows, width, steps, count = Decoding(**settings)
        model, inputs = self.frozen(size, amp), sources(self.setup, rows, count)

        def run() -> float:
            options = {"num_beams": width, "do_sample": False, "max_new_tokens": steps}
            return sum(
                model.generate(source, attention_mask=source != PAD, **options)[:, 1:].numel()
                for source in inputs
            )

        return Work(run)
