"""Decoding speed: what is timed, and what it is divided by."""

import time
from types import SimpleNamespace

import pytest
import torch

from agents.evaluation.speed import decoding_speed


def test_a_batch_is_decoded_once_before_it_is_timed(task, monkeypatch):
    """So that no decoder is timed while it compiles what others have evicted."""
    calls, clock = [], iter(range(10**6))  # each reading is a second later

    def decoder(name, tokens):
        def decode(source, limit):
            calls.append((name, source, next(clock)))
            return SimpleNamespace(length=torch.full((len(source),), tokens))

        return decode

    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    decoders = {name: decoder(name, tokens) for name, tokens in (("one", 3), ("other", 6))}
    split = task.splits["test"]
    rates = decoding_speed(decoders, task, split, batch_size=7, rounds=2)
    pairs = list(zip(calls[::2], calls[1::2], strict=True))
    assert {name for name, *_ in calls} == {"one", "other"}
    for (name, source, before), (again, same, timed) in pairs:
        assert name == again
        assert torch.equal(source, same)
        assert timed == before + 2  # a reading of the clock lies between them
    batches = -(-len(split) // 7)
    assert len(pairs) == 2 * 2 * batches
    # the timed call takes two seconds: its own reading, and the one at its end
    assert rates["one_tokens_per_second"] == pytest.approx(3 * len(split) / (2 * batches))
    assert rates["other_tokens_per_second"] == 2 * rates["one_tokens_per_second"]
