"""Random sources and prefixes, and cached decoding to compare with."""

import torch
from torch import Tensor, nn

from textgen_env.types import BOS, EOS, PAD

V = 13


def tokens(rows: int, length: int, seed: int = 0) -> Tensor:
    """Random tokens that are not special."""
    return torch.randint(4, V, (rows, length), generator=torch.Generator().manual_seed(seed))


def sources(lengths: list[int], width: int, seed: int = 1) -> Tensor:
    """Random sources of these lengths, EOS included, padded to ``width``."""
    source = tokens(len(lengths), width, seed)
    for row, length in zip(source, lengths, strict=True):
        row[length - 1] = EOS
        row[length:] = PAD
    return source


def prefixes(rows: int, length: int, seed: int = 2) -> Tensor:
    """Random prefixes that begin with BOS."""
    prefix = tokens(rows, length, seed)
    prefix[:, 0] = BOS
    return prefix


def close(actual: Tensor, expected: Tensor) -> None:
    """Assert equality up to rounding."""
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def decode(policy: nn.Module, state: object, prefix: Tensor) -> tuple[Tensor, object]:
    """The logits of each cached step ``[B, T, V]``, and the state after the last."""
    steps = []
    for token in prefix.unbind(1):
        logits, state = policy.step(token, state)
        steps.append(logits)
    return torch.stack(steps, 1), state
