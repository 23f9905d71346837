"""Small policies and sources, and decoding without workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agents.generation import decoding
from agents.generation.decoding import greedy
from agents.policies.rnn import RNNPolicy
from agents.policies.transformer import TransformerPolicy
from textgen_env.types import EOS, Trajectories

V, B = 12, 10
SIZES = {"layers": 1, "width": 16, "heads": 2, "ffn": 16}


def transformer(seed: int = 0) -> TransformerPolicy:
    torch.manual_seed(seed)
    return TransformerPolicy(V, **SIZES).eval()


def gru() -> RNNPolicy:
    torch.manual_seed(0)
    return RNNPolicy(V, encoder_width=8, width=16, embedding=8).eval()


def source(rows: int = B) -> Tensor:
    """Random sources ``[rows, 5]``."""
    tokens = torch.randint(4, V, (rows, 5), generator=torch.Generator().manual_seed(1))
    tokens[:, 4] = EOS
    return tokens


def in_process(decode: Callable[..., Trajectories], *arguments: Any) -> Trajectories:
    """Decode without workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "runner", decoding.run_in_process)
        return decode(*arguments)


def assert_equal(actual: Trajectories, expected: Trajectories) -> None:
    assert torch.equal(actual.action, expected.action)
    assert torch.equal(actual.length, expected.length)
    torch.testing.assert_close(actual.score, expected.score, rtol=1e-5, atol=1e-5)


def assert_same_in_process(policy: nn.Module, rows: int = B) -> Tensor:
    """Compare greedy decoding with and without workers; return the scores."""
    output = greedy(policy, source(rows), 8)
    assert_equal(output, in_process(greedy, policy, source(rows), 8))
    return output.score
