"""Sizes, random sentences, batches and weights that all contenders share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from agents.policies.rnn import RNNPolicy
from agents.policies.transformer import TransformerPolicy
from agents.precision import resolve_precision
from textgen_env.types import EOS, PAD, Batch

# The paper's student and teacher: layers in encoder and decoder, ffn / width.
SIZES = {"2+2": (2, 3), "8+8": (8, 4)}
HEADS, DROPOUT, MAX_LENGTH = 4, 0.1, 24


class Setup(NamedTuple):
    """Settings of all benchmarks.

    Args:
        vocabulary: V.
        width: D.
        tokens: Target positions per training batch, including padding.
        threads: Number of cores to use.
        seconds: Minimum duration of a measurement.
    """

    vocabulary: int
    width: int
    tokens: int
    threads: int
    seconds: float = 0.0


class Work(NamedTuple):
    """Work to time.

    Args:
        run: Does the work and returns its amount in tokens, steps or operations.
        before: Untimed preparation of each ``run``.
    """

    run: Callable[[], float]
    before: Callable[[], Any] = lambda: None


class Decoding(NamedTuple):
    """What to decode.

    Args:
        rows: Sentences per batch.
        width: Beam width; 1 is greedy.
        steps: Tokens per sentence.
        count: Batches.
    """

    rows: int
    width: int
    steps: int
    count: int


def precisions() -> list[str]:
    """The precisions with hardware support."""
    return list(dict.fromkeys(("float32", resolve_precision("auto", "cpu"))))


def transformer(setup: Setup, size: str) -> TransformerPolicy:
    """A transformer with fixed random weights."""
    torch.manual_seed(0)
    layers, ffn = SIZES[size]
    sizes = {"layers": layers, "width": setup.width, "heads": HEADS, "ffn": ffn * setup.width}
    return _endless(TransformerPolicy(setup.vocabulary, **sizes, dropout=DROPOUT))


def gru(setup: Setup) -> RNNPolicy:
    """A recurrent student of default proportions."""
    torch.manual_seed(0)
    sizes = {"encoder_width": setup.width, "width": 2 * setup.width, "embedding": setup.width}
    return _endless(RNNPolicy(setup.vocabulary, **sizes, dropout=DROPOUT))


def _endless(policy: Any) -> Any:
    """Zero the embedding of EOS, so that decoding runs to its limit."""
    with torch.no_grad():
        policy.target_embedding.weight[EOS] = 0
    return policy


def sentences(setup: Setup, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random sentences ``[rows, MAX_LENGTH]`` of similar length, and their lengths ``[rows]``."""
    length = torch.randint(MAX_LENGTH - 6, MAX_LENGTH + 1, (rows, 1), generator=generator)
    token = torch.randint(EOS + 2, setup.vocabulary, (rows, MAX_LENGTH), generator=generator)
    token.masked_fill_(torch.arange(MAX_LENGTH) >= length, PAD).scatter_(1, length - 1, EOS)
    return token, length.squeeze(1)


def sources(setup: Setup, rows: int, count: int) -> list[Tensor]:
    """``count`` batches of ``rows`` source sentences."""
    generator = torch.Generator().manual_seed(1)
    return [sentences(setup, rows, generator)[0] for _ in range(count)]


def batches(setup: Setup, count: int = 2) -> list[Batch]:
    """Training batches with sentences of similar length, as many as fit into ``setup.tokens``."""
    generator, rows = torch.Generator().manual_seed(2), max(1, setup.tokens // MAX_LENGTH)
    row, limit, batches = torch.arange(rows), torch.full((rows,), MAX_LENGTH), []
    for _ in range(count):
        source, _ = sentences(setup, rows, generator)
        target, length = sentences(setup, rows, generator)
        batches.append(Batch(row, source, target, length, limit=limit, row=row))
    return batches


def training(model: nn.Module, loss: Callable[[Batch], Tensor], batches: list[Batch]) -> Work:
    """A step of Adam per batch, with the same settings for all contenders; counts target tokens."""
    optimizer = torch.optim.Adam(
        model.train().parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9, fused=True
    )

    def run() -> float:
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            loss(batch).backward()
            optimizer.step()
        return sum(batch.tokens for batch in batches)

    return Work(run)
