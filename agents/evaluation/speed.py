"""Measures decoding speed."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.generation.decoder import Decode
from textgen_env.data.split import Split
from textgen_env.tasks.task import Task
from textgen_env.types import PAD


def decoding_speed(
    decoders: dict[str, Decode], task: Task, split: Split, batch_size: int, rounds: int = 3
) -> dict[str, float]:
    """Tokens per second of each decoder on ``split``, in interleaved rounds.

    Args:
        decoders: the decoders by name.
        task: the task of the split.
        split: the sources; sentences of similar length share a batch.
        batch_size: sentences per batch.
        rounds: how often each decoder is timed.

    Returns:
        ``NAME_tokens_per_second``, the median of the rounds, and the slowest and fastest round with
        the suffixes ``_low`` and ``_high``.
    """
    sources = sorted(map(torch.from_numpy, split.source), key=len)
    batches = []
    for start in range(0, len(sources), batch_size):
        rows = sources[start : start + batch_size]
        limit = task.limit(torch.tensor([*map(len, rows)]))
        batches.append((pad_sequence(rows, batch_first=True, padding_value=PAD), limit))
    rates: dict[str, list[float]] = {name: [] for name in decoders}
    for _ in range(rounds):
        for name, decode in decoders.items():
            rates[name].append(_tokens_per_second(decode, batches))
    return {
        f"{name}_tokens_per_second{suffix}": statistic(rate)
        for name, rate in rates.items()
        for suffix, statistic in (("", statistics.median), ("_low", min), ("_high", max))
    }


def _tokens_per_second(decode: Decode, batches: list[tuple[Tensor, Tensor]]) -> float:
    """The speed of ``decode``, which decodes each batch once before it is timed.

    oneDNN compiles a matmul for each shape and keeps a limited number (``experiments/openmp.py``).
    Without that first time, a decoder would be timed while it compiles again what the decoders
    that took turns with it, or its own other batches, have evicted.
    """
    tokens, seconds = 0, 0.0
    for batch in batches:
        int(decode(*batch).length.sum())  # int() waits for the device
        start = time.perf_counter()
        tokens += int(decode(*batch).length.sum())
        seconds += time.perf_counter() - start
    return tokens / seconds
