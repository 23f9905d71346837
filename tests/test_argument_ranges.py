"""A number out of range is refused by the name of its parameter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from agents.generation.decoder import Decoder
from agents.policies.rnn import RNN
from agents.policies.transformer import Transformer
from support.refused import never
from textgen_env import CachedOracle, NoisyOracle, PolicyOracle, ReferenceOracle, TextGenVectorEnv
from textgen_env.errors import UserError
from textgen_env.tasks import tasks

HUGE = 10**9
TASK = tasks()["Copy-v0"].load(train=20, valid=2, test=2)


def transformer(**sizes):
    return Transformer(12, **{"layers": 1, "width": 8, "heads": 2, "ffn": 8, **sizes})


def rnn(**sizes):
    small = dict.fromkeys(("encoder_width", "width", "embedding"), 8)
    return RNN(12, **{"cell": "gru", "encoder_layers": 1, "decoder_layers": 1, **small, **sizes})


def policy_oracle(top_k):
    vocabulary = TASK.vocabulary
    return PolicyOracle(transformer(), never, vocabulary, vocabulary, top_k)


def parallel_text(**options):
    return tasks()["ParallelText-v0"].load(**{"corpus": "bundled", "bundled_pairs": 30, **options})


CASES: tuple[tuple[Callable[..., Any], dict[str, tuple[float, ...]]], ...] = (
    (lambda num_envs: TextGenVectorEnv(TASK, num_envs), {"num_envs": (0, -1, 10**12, 2.5, True)}),
    (policy_oracle, {"top_k": (0, 13)}),
    (
        lambda smoothing: ReferenceOracle(TASK.splits.values(), 12, smoothing),
        {"smoothing": (0, 1, math.nan)},
    ),
    (
        lambda epsilon: NoisyOracle(TASK.oracle(), epsilon, torch.Generator()),
        {"epsilon": (-1, math.nan, math.inf)},
    ),
    (lambda max_bytes: CachedOracle(TASK.oracle(), max_bytes), {"max_bytes": (-1,)}),
    (lambda beam: Decoder(transformer(), beam, "float32", "cpu"), {"beam": (0, 13)}),
    (
        parallel_text,
        {"horizon": (1, HUGE), "source_limit": (1, HUGE), "vocabulary": (0, HUGE)},
    ),
    (
        tasks()["Copy-v0"].load,
        {
            "seed": (-1, 2**64),
            "symbols": (0, HUGE),
            "min_length": (0,),
            "max_length": (HUGE,),
            "train": (0, HUGE),
            "test": (0,),
        },
    ),
    (
        tasks()["Tightrope-v0"].load,
        {"slip": (0.0, 1.0, math.nan), "tricks": (-1, 13), "horizon": (0, HUGE)},
    ),
    (
        transformer,
        {
            **dict.fromkeys(("layers", "decoder_layers", "width", "heads", "ffn"), (HUGE,)),
            "dropout": (-0.1, 1.0, math.nan),
        },
    ),
    (
        rnn,
        dict.fromkeys(("encoder_layers", "width", "embedding", "projection"), (HUGE,)),
    ),
)


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [
        (function, name, value)
        for function, values in CASES
        for name in values
        for value in values[name]
    ],
)
def test_an_argument_out_of_range_is_refused_by_name(function, name, value):
    with pytest.raises(UserError, match=f"^{name}=.*: expected an? (number|integer)"):
        function(**{name: value})
