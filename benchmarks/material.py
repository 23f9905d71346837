"""What every contender works on: sizes, sentences, token batches, random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from agents.policies.rnn import RNN
from agents.policies.transformer import Transformer
from agents.precision import resolve_precision
from textgen_env.types import EOS, PAD, Batch

SIZES = {
    "2+2": (2, 3),
    "8+8": (8, 4),
}  # layers each side, ffn in widths: the paper's student and teacher
HEADS, DROPOUT, LENGTH = 4, 0.1, 24  # LENGTH: tokens of the longest sentence


class Setup(NamedTuple):
    """vocabulary: V.  width: D.  tokens: target positions of a training batch, padding included.  threads: cores to use.

    seconds: the least that a measurement lasts.
    """

    vocabulary: int
    width: int
    tokens: int
    threads: int
    seconds: float = 0.0


class Work(NamedTuple):
    """Something to time: ``run`` says how much it did (tokens, steps, operations); ``before`` is called first, untimed."""

    run: Callable[[], float]
    before: Callable[[], Any] = lambda: None


class Decoding(NamedTuple):
    """Sentences to decode: ``count`` batches of ``rows``, with a beam of ``width`` (1: greedily), ``steps`` tokens each."""

    rows: int
    width: int
    steps: int
    count: int


def precisions() -> list[str]:
    """Those that the CPU has in hardware."""
    return list(dict.fromkeys(("float32", resolve_precision("auto", "cpu"))))


def transformer(setup: Setup, size: str) -> Transformer:
    """Random weights, always the same."""
    torch.manual_seed(0)
    layers, ffn = SIZES[size]
    sizes = {"layers": layers, "width": setup.width, "heads": HEADS, "ffn": ffn * setup.width}
    return _endless(Transformer(setup.vocabulary, **sizes, dropout=DROPOUT))


def gru(setup: Setup) -> RNN:
    """The recurrent student at its usual proportions."""
    torch.manual_seed(0)
    sizes = {"encoder_width": setup.width, "width": 2 * setup.width, "embedding": setup.width}
    return _endless(RNN(setup.vocabulary, **sizes, dropout=DROPOUT))


def _endless(policy: Any) -> Any:
    """EOS gets no embedding, so that decoding runs to its limit."""
    with torch.no_grad():
        policy.target_embedding.weight[EOS] = 0
    return policy


def sentences(setup: Setup, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """``[rows, LENGTH]`` random tokens, EOS, then padding, and the lengths: of a bucket, so nearly equal."""
    length = torch.randint(LENGTH - 6, LENGTH + 1, (rows, 1), generator=generator)
    token = torch.randint(EOS + 2, setup.vocabulary, (rows, LENGTH), generator=generator)
    return token.masked_fill(torch.arange(LENGTH) >= length, PAD).scatter(
        1, length - 1, EOS
    ), length.squeeze(1)


def sources(setup: Setup, rows: int, count: int) -> list[Tensor]:
    """``count`` batches of ``rows`` sentences to translate."""
    generator = torch.Generator().manual_seed(1)
    return [sentences(setup, rows, generator)[0] for _ in range(count)]


def batches(setup: Setup, count: int = 2) -> list[Batch]:
    """Training batches as textgen_env.data.batching makes them: sentences of like length, as many as fit the tokens."""
    generator, rows = torch.Generator().manual_seed(2), max(1, setup.tokens // LENGTH)
    batches = []
    for _ in range(count):
        (source, _), (target, length) = (
            sentences(setup, rows, generator),
            sentences(setup, rows, generator),
        )
        batches.append(
            Batch(
                torch.arange(rows),
                source,
                target,
                length,
                limit=torch.full((rows,), LENGTH),
                row=torch.arange(rows),
            )
        )
    return batches


def training(model: nn.Module, loss: Callable[[Batch], Tensor], work: list[Batch]) -> Work:
    """One step of the optimizer that everybody gets on every batch; counts target tokens."""
    optimizer = torch.optim.Adam(
        model.train().parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9, fused=True
    )

    def run() -> float:
        for batch in work:
            optimizer.zero_grad(set_to_none=True)
            loss(batch).backward()
            optimizer.step()
        return sum(batch.tokens for batch in work)

    return Work(run)
