"""Our policies: training, decoding, and the CPU's matmul rate."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from agents import accel
from agents.algorithms.base import Clock
from agents.algorithms.bc import BC
from agents.generation.decoder import Decoder
from agents.precision import precision
from benchmarks.material import Decoding, Setup, Work, batches, gru, sources, training, transformer
from textgen_env.types import Batch

MATRIX_SIZE = 2048


class Contender:
    """Trains and decodes with this project."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.policy = cache(lambda size: make_policy(setup, size).requires_grad_(False))

    def train(self, size: str, amp: str) -> Work:
        """Maximum likelihood: forward, loss, backward and Adam; counts target tokens."""
        policy = transformer(self.setup, size)
        learner = BC(policy)

        def loss(batch: Batch) -> Tensor:
            with precision(amp, "cpu"):
                return learner.loss(batch, Clock(seed=0, step=0, steps=1)).mean

        return training(policy, loss, batches(self.setup))

    def flops(self, size: str) -> float:
        """Floating-point operations per target token in the matmuls of ``train``."""
        with FlopCounterMode(display=False) as counter:
            tokens = self.train(size, "float32").run()
        return counter.get_total_flops() / tokens

    def matmul(self, amp: str) -> Work:
        """A square matmul; counts floating-point operations."""
        dtype = torch.bfloat16 if amp == "bf16" else torch.float32
        matrix = torch.ones(MATRIX_SIZE, MATRIX_SIZE, dtype=dtype)
        repeats = 3

        def run() -> float:
            for _ in range(repeats):
                matrix @ matrix
            return repeats * 2 * MATRIX_SIZE**3

        return Work(run)

    def decode(self, size: str, amp: str, workers: int | None = 1, **settings: int) -> Work:
        """Decode, with several workers in one call for all batches; counts tokens.

        Args:
            size: "2+2", "8+8" or "gru".
            amp: Precision.
            workers: Number of decoding workers; None leaves the installed number.
            **settings: Fields of ``Decoding``.
        """
        rows, width, steps, count = Decoding(**settings)
        decode = Decoder(self.policy(size), width, amp, "cpu")
        inputs = sources(self.setup, rows, count)
        inputs = [torch.cat(inputs)] if workers != 1 else inputs

        def run() -> float:
            if workers is not None:
                accel.install(workers)
            return sum(int(decode(source, steps).length.sum()) for source in inputs)

        return Work(run)


def make_policy(setup: Setup, size: str) -> Any:
    """A transformer of that size, or the recurrent student for "gru"."""
    return gru(setup) if size == "gru" else transformer(setup, size)
