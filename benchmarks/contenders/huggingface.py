"""Marian of Hugging Face transformers: the same sizes, but post-norm, so with other weights."""

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
    """Trains and decodes with Hugging Face transformers."""

    def __init__(self, setup: Setup) -> None:
        logging.set_verbosity_error()
        self.setup = setup
        self.frozen = cache(self._frozen)

    def _frozen(self, size: str, amp: str) -> MarianMTModel:
        return self.model(size).eval().to(torch.bfloat16 if amp == "bf16" else torch.float32)

    def model(self, size: str) -> MarianMTModel:
        """Separate embeddings, tied output, and no EOS, so that ``generate`` runs to its limit."""
        layers, ffn = SIZES[size]
        sizes = {"layers": layers, "attention_heads": HEADS, "ffn_dim": ffn * self.setup.width}
        config = MarianConfig(
            vocab_size=self.setup.vocabulary,
            d_model=self.setup.width,
            **{f"encoder_{name}": value for name, value in sizes.items()},
            **{f"decoder_{name}": value for name, value in sizes.items()},
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
                inputs = {"attention_mask": batch.source != PAD, "decoder_input_ids": batch.prefix}
                return model(batch.source, **inputs, labels=labels, use_cache=False).loss

        return training(model, loss, batches(self.setup))

    def decode(self, size: str, amp: str, **settings: int) -> Work:
        """``generate`` with weights in ``amp``, which is faster than autocast; counts tokens."""
        rows, width, steps, count = Decoding(**settings)
        model, inputs = self.frozen(size, amp), sources(self.setup, rows, count)

        def run() -> float:
            options = {"num_beams": width, "do_sample": False, "max_new_tokens": steps}
            return sum(
                model.generate(source, attention_mask=source != PAD, **options)[:, 1:].numel()
                for source in inputs
            )

        return Work(run)
