"""Measures decoding speed."""

from __future__ import annotations

import statistics
import time

import torch
from torch.nn.utils.rnn import pad_sequence

from agents.generation.decoder import Decode
from textgen_env.data.split import Split
from textgen_env.tasks.task import Task
from textgen_env.types import PAD


def decoding_speed(
    decoders: dict[str, Decode], task: Task, split: Split, batch_size: int, rounds: int = 3
) -> dict[str, float]:
    """Tokens per second of each decoder on ``split``, in interleaved rounds after a warm-up.

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
    for number in range(rounds + 1):
        for name, decode in decoders.items():
            start_time = time.perf_counter()
            # int() waits for the device.
            tokens = sum(int(decode(*batch).length.sum()) for batch in batches)
            if number:
                rates[name].append(tokens / (time.perf_counter() - start_time))
    return {
        f"{name}_tokens_per_second{suffix}": statistic(rate)
        for name, rate in rates.items()
        for suffix, statistic in (("", statistics.median), ("_low", min), ("_high", max))
    }
