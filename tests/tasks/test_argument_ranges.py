"""A number out of range is refused by its parameter's name."""

from __future__ import annotations

import math

import pytest
import torch

import textgen_env
from agents.generation.decoder import Decoder
from agents.policies.rnn import RNN
from agents.policies.transformer import Transformer
from support.refused import never
from textgen_env import CachedOracle, NoisyOracle, ReferenceOracle, TextGenVectorEnv
from textgen_env.errors import UserError
from textgen_env.tasks import tasks


@pytest.fixture(scope="module")
def task():
    return tasks()["Copy-v0"].load(train=20, valid=2, test=2)


def policy(task):
    return Transformer(len(task.vocabulary), layers=1, width=8, heads=2, ffn=8)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        *(("num_envs", lambda task, n=n: TextGenVectorEnv(task, n)) for n in (0, -1, 10**12, 2.5, True)),
        *(("top_k", lambda task, k=k: oracle_of(task, k)) for k in (0, 13)),
        *(("smoothing", lambda task, x=x: ReferenceOracle(task.splits.values(), 12, x)) for x in (0, 1, math.nan)),
        *(("epsilon", lambda task, x=x: NoisyOracle(task.oracle(), x, torch.Generator())) for x in (-1, math.nan, math.inf)),
        ("max_bytes", lambda task: CachedOracle(task.oracle(), -1)),
        *(("beam", lambda task, k=k: Decoder(policy(task), k, "float32", "cpu")) for k in (0, 13)),
        *(("horizon", lambda _, n=n: tasks()["ParallelText-v0"].load(corpus="bundled", bundled_pairs=30, horizon=n)) for n in (1, 10**9)),
        *(("source_limit", lambda _, n=n: tasks()["ParallelText-v0"].load(bundled_pairs=30, source_limit=n)) for n in (1, 10**9)),
        *(("seed", lambda _, n=n: tasks()["Copy-v0"].load(seed=n)) for n in (-1, 2**64)),
        *(("vocabulary", lambda _, n=n: tasks()["ParallelText-v0"].load(vocabulary=n)) for n in (0, 10**9)),
        *((key, lambda _, key=key: tasks()["Copy-v0"].load(**{key: 0})) for key in ("symbols", "min_length", "train", "test")),
        *((key, lambda _, key=key: tasks()["Copy-v0"].load(**{key: 10**9})) for key in ("symbols", "max_length", "train")),
        *(("slip", lambda _, x=x: tasks()["Tightrope-v0"].load(slip=x)) for x in (0.0, 1.0, math.nan)),
        *(("tricks", lambda _, n=n: tasks()["Tightrope-v0"].load(tricks=n)) for n in (-1, 13)),
        *(("horizon", lambda _, n=n: tasks()["Tightrope-v0"].load(horizon=n)) for n in (0, 10**9)),
        *((key, lambda _, key=key: small_transformer(**{key: 10**9})) for key in ("layers", "decoder_layers", "width", "heads", "ffn")),
        *(("dropout", lambda _, x=x: small_transformer(dropout=x)) for x in (-0.1, 1.0, math.nan)),
        *((key, lambda _, key=key: small_rnn(**{key: 10**9})) for key in ("encoder_layers", "width", "embedding", "projection")),
    ],
)  # fmt: skip
def test_an_argument_beyond_its_range_is_refused_by_its_name(task, name, call) -> None:
    with pytest.raises(UserError, match=f"^{name}=.*expected$"):
        call(task)


def oracle_of(task, top_k):
    return textgen_env.PolicyOracle(policy(task), never, task.vocabulary, task.vocabulary, top_k)


def small_transformer(**settings):
    return Transformer(12, **{"layers": 1, "width": 8, "heads": 2, "ffn": 8, **settings})


def small_rnn(**settings):
    sizes = {
        "cell": "gru",
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_width": 8,
        "width": 8,
        "embedding": 8,
    }
    return RNN(12, **{**sizes, **settings})
