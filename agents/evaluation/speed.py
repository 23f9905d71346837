"""How fast policies decode the same sentences."""

from __future__ import annotations

import statistics
import time

import torch
from torch.nn.utils.rnn import pad_sequence

from agents.generation.decoder import Decode
from textgen_env.data.split import Split
from textgen_env.tasks.task import Task
from textgen_env.types import PAD


def speed(
    decoders: dict[str, Decode], task: Task, split: Split, batch_size: int, rounds: int = 3
) -> dict[str, float]:
    """Tokens a second of each of ``decoders``, taken in turn: ``rounds`` times, after a warm-up.

    Returns:
        ``{name}_tokens_per_second``, the median of the rounds; with ``_low`` and ``_high`` behind it
        the slowest and the fastest.  Sentences of like length share a batch of ``batch_size``.
    """
    sources = sorted(map(torch.from_numpy, split.source), key=len)
    batches = [
        (
            pad_sequence(rows, batch_first=True, padding_value=PAD),
            task.limit(torch.tensor([*map(len, rows)])),
        )
        for rows in (
            sources[start : start + batch_size] for start in range(0, len(sources), batch_size)
        )
    ]
    rates: dict[str, list[float]] = {name: [] for name in decoders}
    for round in range(rounds + 1):
        for name, decode in decoders.items():
            start = time.perf_counter()
            tokens = sum(
                int(decode(*batch).length.sum()) for batch in batches
            )  # the sum waits for the device
            if round:
                rates[name].append(tokens / (time.perf_counter() - start))
    return {
        f"{name}_tokens_per_second{end}": value(rate)
        for name, rate in rates.items()
        for end, value in (("", statistics.median), ("_low", min), ("_high", max))
    }
