"""Constructors of oracles, tasks, environments and policies refuse numbers out of range."""

from __future__ import annotations

import math

import pytest
import torch

from agents.generation.decoder import Decoder
from agents.policies.rnn import RNNPolicy
from agents.policies.transformer import TransformerPolicy
from support.refused import never
from textgen_env import (
    CachedOracle,
    NoisyOracle,
    PolicyOracle,
    ReferenceOracle,
    TextGenVectorEnv,
)
from textgen_env.errors import UserError
from textgen_env.tasks import tasks


@pytest.fixture(scope="module")
def task():
    return tasks()["Copy-v0"].load(train=20, valid=2, test=2)


def transformer(**settings):
    return TransformerPolicy(12, **{"layers": 1, "width": 8, "heads": 2, "ffn": 8, **settings})


def rnn(**settings):
    layers = {"encoder_layers": 1, "decoder_layers": 1}
    widths = {"encoder_width": 8, "width": 8, "embedding": 8}
    return RNNPolicy(12, **{"cell": "gru", **layers, **widths, **settings})


def policy_oracle(task, top_k):
    return PolicyOracle(transformer(), never, task.vocabulary, task.vocabulary, top_k)


def load(name, **settings):
    return tasks()[name].load(**settings)


CASES = [  # argument, values that are out of range, constructor
    ("num_envs", (0, -1, 10**12, 2.5, True), TextGenVectorEnv),
    ("top_k", (0, 13), policy_oracle),
    ("smoothing", (0, 1, math.nan), lambda task, x: ReferenceOracle(task.splits.values(), 12, x)),
    (
        "epsilon",
        (-1, math.nan, math.inf),
        lambda task, x: NoisyOracle(task.oracle(), x, torch.Generator()),
    ),
    ("max_bytes", (-1,), lambda task, x: CachedOracle(task.oracle(), x)),
    ("beam", (0, 13), lambda task, x: Decoder(transformer(), x, "float32", "cpu")),
]
SETTINGS = [  # constructor, its arguments, values that are out of range
    (lambda **x: load("ParallelText-v0", corpus="bundled", **x), ("horizon",), (1, 10**9)),
    (lambda **x: load("ParallelText-v0", corpus="bundled", **x), ("source_limit",), (1, 10**9)),
    (lambda **x: load("ParallelText-v0", corpus="bundled", **x), ("vocabulary",), (0, 10**9)),
    (lambda **x: load("Copy-v0", **x), ("seed",), (-1, 2**64)),
    (lambda **x: load("Copy-v0", **x), ("symbols", "min_length", "train", "test"), (0,)),
    (lambda **x: load("Copy-v0", **x), ("symbols", "max_length", "train"), (10**9,)),
    (lambda **x: load("Tightrope-v0", **x), ("slip",), (0.0, 1.0, math.nan)),
    (lambda **x: load("Tightrope-v0", **x), ("tricks",), (-1, 13)),
    (lambda **x: load("Tightrope-v0", **x), ("horizon",), (0, 10**9)),
    (transformer, ("layers", "decoder_layers", "width", "heads", "ffn"), (10**9,)),
    (transformer, ("dropout",), (-0.1, 1.0, math.nan)),
    (rnn, ("encoder_layers", "width", "embedding", "projection"), (10**9,)),
]


@pytest.mark.parametrize(
    ("name", "value", "make"),
    [(name, value, make) for name, values, make in CASES for value in values],
)
def test_an_out_of_range_argument_is_named(task, name, value, make) -> None:
    with pytest.raises(UserError, match=f"^{name}="):
        make(task, value)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [(make, name, value) for make, names, values in SETTINGS for name in names for value in values],
)
def test_an_out_of_range_setting_is_named(make, name, value) -> None:
    with pytest.raises(UserError, match=f"^{name}="):
        make(**{name: value})
