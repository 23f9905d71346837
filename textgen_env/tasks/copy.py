"""Copy-v0: repeat a string of symbols.  A toy whose expert is exact, so that every algorithm has a known optimum."""

from __future__ import annotations

import string
from functools import partial

import numpy as np
import torch
from torch import Tensor

from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import MAX_LENGTH, Limit
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import Range, UserError, check_range
from textgen_env.oracles.exact import ExactOracle
from textgen_env.tasks.task import Task, once
from textgen_env.types import EOS, PAD

ID = "Copy-v0"


@once
def load(
    symbols: int = 8,
    min_length: int = 1,
    max_length: int = 8,
    horizon: int = 12,
    limit_ratio: float | None = None,
    limit_offset: int | None = None,
    train: int = 4_000,
    valid: int = 200,
    test: int = 200,
    seed: int = 0,
) -> Task:
    """Random strings, uniform in length and symbols, to be repeated.

    Args:
        symbols: how many different symbols there are
        min_length: shortest string
        max_length: longest string
        horizon: longest output in tokens, EOS included
        limit_ratio: a of a limit a·S + b on the tokens generated for a source of S tokens; null: the horizon alone
        limit_offset: b of that limit
        train: training strings
        valid: validation strings
        test: test strings
        seed: seed of the strings
    """
    check_range("symbols", symbols, Range(1, 10**6))
    check_range("max_length", max_length, Range(1, MAX_LENGTH - 1))
    check_range("min_length", min_length, Range(1, max_length))
    if horizon <= max_length:
        raise UserError(
            f"horizon={horizon} has no room for {max_length} symbols and EOS; give at least {max_length + 1}"
        )
    for name, size in (("train", train), ("valid", valid), ("test", test)):
        check_range(name, size, Range(1, 10**7))
    alphabet = (
        list(string.ascii_lowercase[:symbols])
        if symbols <= 26
        else [f"s{i}" for i in range(symbols)]
    )
    texts = _strings(
        alphabet, min_length, max_length, train + valid + test, np.random.default_rng(seed)
    )
    cuts = {
        "test": texts[:test],
        "valid": texts[test : test + valid],
        "train": texts[test + valid :],
    }
    splits = {
        name: Pairs(cuts[name], [(text,) for text in cuts[name]])
        for name in ("train", "valid", "test")
    }
    corpus = Corpus("copy", "bundled", f"random strings of {symbols} symbols, seed {seed}", splits)
    vocabulary = Vocabulary.from_words(alphabet)
    limit, oracle = Limit(horizon, limit_ratio, limit_offset), partial(CopyOracle, len(vocabulary))
    return Task(
        ID,
        corpus,
        vocabulary,
        max_length + 1,
        limit,
        metric="accuracy",
        reward="zero_one",
        oracle=oracle,
    )


def _strings(
    alphabet: list[str], shortest: int, longest: int, count: int, generator: np.random.Generator
) -> list[str]:
    """``count`` strings, all different if the space of strings is large enough, else filled up with repeats."""
    distinct: dict[str, None] = {}
    drawn: list[str] = []
    for _ in range(20):
        lengths = generator.integers(shortest, longest + 1, size=2 * count)
        letters = generator.integers(len(alphabet), size=(2 * count, longest))
        drawn = [
            " ".join(alphabet[i] for i in row[:length])
            for row, length in zip(letters, lengths, strict=True)
        ]
        distinct.update(dict.fromkeys(drawn))
        if len(distinct) >= count:
            break
    texts = [*distinct, *drawn][:count]
    return [
        texts[i] for i in generator.permutation(count)
    ]  # the first are short: no split may get them all


class CopyOracle(ExactOracle):
    """The exact expert: whatever the prefix, step t's best action is the source's t-th symbol, EOS after its end."""

    def right(self, source: Tensor, prefix: Tensor) -> Tensor:
        right = torch.full_like(prefix, EOS)
        width = min(prefix.shape[1], source.shape[1])
        right[:, :width] = source[:, :width].masked_fill(source[:, :width] == PAD, EOS)
        return right
