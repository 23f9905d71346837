"""Copy-v0: repeat a string of symbols, a toy task with a known optimum."""

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
from textgen_env.tasks.task import Task, cached_load
from textgen_env.types import EOS, PAD

ID = "Copy-v0"


@cached_load
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
    """Random strings to repeat, with uniformly distributed lengths and symbols.

    Args:
        symbols: number of different symbols
        min_length: minimum string length
        max_length: maximum string length
        horizon: maximum output length in tokens, EOS included
        limit_ratio: a in an output limit a·S + b for a source of S tokens; null: only the horizon
        limit_offset: b in that limit
        train: number of training strings
        valid: number of validation strings
        test: number of test strings
        seed: random seed of the strings
    """
    check_range("symbols", symbols, Range(1, 10**6))
    check_range("max_length", max_length, Range(1, MAX_LENGTH - 1))
    check_range("min_length", min_length, Range(1, max_length))
    if horizon <= max_length:
        raise UserError(
            f"horizon={horizon} is too small for {max_length} symbols and EOS; "
            f"set it to at least {max_length + 1}"
        )
    for name, size in (("train", train), ("valid", valid), ("test", test)):
        check_range(name, size, Range(1, 10**7))
    alphabet = list(string.ascii_lowercase[:symbols])
    if symbols > len(alphabet):
        alphabet = [f"s{i}" for i in range(symbols)]
    generator = np.random.default_rng(seed)
    texts = _random_strings(alphabet, min_length, max_length, train + valid + test, generator)
    strings = {
        "train": texts[test + valid :],
        "valid": texts[test : test + valid],
        "test": texts[:test],
    }
    splits = {name: Pairs(rows, [(text,) for text in rows]) for name, rows in strings.items()}
    corpus = Corpus("copy", "bundled", f"random strings of {symbols} symbols, seed {seed}", splits)
    vocabulary = Vocabulary.from_words(alphabet)
    limit, oracle = Limit(horizon, limit_ratio, limit_offset), partial(CopyOracle, len(vocabulary))
    return Task(
        ID, corpus, vocabulary, max_length + 1, limit, "accuracy", "zero_one", oracle=oracle
    )


def _random_strings(
    alphabet: list[str], shortest: int, longest: int, count: int, generator: np.random.Generator
) -> list[str]:
    """Draw ``count`` strings without repeats, or with repeats if there are too few."""
    distinct: dict[str, None] = {}
    drawn: list[str] = []
    for _ in range(20):
        lengths = generator.integers(shortest, longest + 1, size=2 * count)
        symbols = generator.integers(len(alphabet), size=(2 * count, longest))
        drawn = [
            " ".join(alphabet[i] for i in row[:length])
            for row, length in zip(symbols, lengths, strict=True)
        ]
        distinct.update(dict.fromkeys(drawn))
        if len(distinct) >= count:
            break
    texts = [*distinct, *drawn][:count]
    return [texts[i] for i in generator.permutation(count)]  # short strings come first in ``texts``


class CopyOracle(ExactOracle):
    """The exact expert: step t copies the source's t-th symbol, whatever the prefix."""

    def optimal_action(self, source: Tensor, prefix: Tensor) -> Tensor:
        """The optimal action at every prefix, int64 ``[B, T]``."""
        action = torch.full_like(prefix, EOS)
        width = min(prefix.shape[1], source.shape[1])
        action[:, :width] = source[:, :width].masked_fill(source[:, :width] == PAD, EOS)
        return action
