"""This project's policies: training, decoding, and what the CPU's matmul gives at best."""

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

SIDE = 2048  # of the matrices whose matmul is timed


class Contender:
    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.policy = cache(lambda size: policy(setup, size).requires_grad_(False))

    def train(self, size: str, amp: str) -> Work:
        """Maximum likelihood: forward, loss, backward and Adam; counts target tokens."""
        policy = transformer(self.setup, size)
        learner = BC(policy)

        def loss(batch: Batch) -> Tensor:
            with precision(amp, "cpu"):
                return learner.loss(batch, Clock(seed=0, step=0, steps=1)).mean

        return training(policy, loss, batches(self.setup))

    def flops(self, size: str) -> float:
        """Of the matmuls of ``train``, a target token."""
        with FlopCounterMode(display=False) as counter:
            tokens = self.train(size, "float32").run()
        return counter.get_total_flops() / tokens

    def matmul(self, amp: str) -> Work:
        """A square matmul; counts floating-point operations."""
        matrix = torch.ones(SIDE, SIDE, dtype=torch.bfloat16 if amp == "bf16" else torch.float32)
        repeats = 3

        def run() -> float:
            for _ in range(repeats):
                matrix @ matrix
            return repeats * 2 * SIDE**3

        return Work(run)

    def decode(self, size: str, amp: str, workers: int | None = 1, **settings: int) -> Work:
        """Decode; several workers get all batches at once; counts tokens.

        Args:
            size: of the policy.
            amp: precision.
            workers: None leaves what is installed.
            **settings: of ``Decoding``.
        """
        rows, width, steps, count = Decoding(**settings)
        decode, inputs = (
            Decoder(self.policy(size), width, amp, "cpu"),
            sources(self.setup, rows, count),
        )
        inputs = [torch.cat(inputs)] if workers != 1 else inputs

        def run() -> float:
            if workers is not None:
                accel.install(workers)
            return sum(int(decode(source, steps).length.sum()) for source in inputs)

        return Work(run)


def policy(setup: Setup, size: str) -> Any:
    """The student or teacher of that size, or the recurrent student."""
    return gru(setup) if size == "gru" else transformer(setup, size)
