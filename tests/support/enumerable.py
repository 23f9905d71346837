"""A task with fifteen sentences: three tokens to write, at most three steps.  Expectations in it are sums."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents.generation.decoding import allowed_log_probs
from textgen_env.types import EOS, Batch

A, B = 3, 4
TOKENS = (EOS, A, B)
SENTENCES = [
    s
    for n in (1, 2, 3)
    for s in itertools.product(TOKENS, repeat=n)
    if EOS not in s[:-1] and (n == 3 or s[-1] == EOS)
]


class Table(nn.Module):
    """A policy with five logits for each of the thirteen strings of fewer than three tokens, EOS in the middle included."""

    vocabulary_size, feature_width = 5, 13

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(torch.randn(13, 5, generator=self.generator))

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.head(self.features(source, prefix, mask))

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Which string a prefix is."""
        state = torch.zeros_like(prefix)
        for time in range(1, prefix.shape[1]):
            state[:, time] = 3 * state[:, time - 1] + 1 + (prefix[:, time] - EOS).clamp(min=0)
        features = nn.functional.one_hot(state.clamp(max=12), 13).float()  # [B, T, 13]
        return features if mask is None else features[mask]

    def head(self, features: Tensor) -> Tensor:
        return features @ self.table

    def start(self, source: Tensor, steps: int) -> Prefix:
        return Prefix(source[:, :0])

    def step(self, token: Tensor, state: Prefix) -> tuple[Tensor, Prefix]:
        prefix = torch.cat([state.tokens, token[:, None]], 1)
        return self(prefix, prefix)[:, -1], Prefix(prefix)


@dataclass
class Prefix:
    tokens: Tensor

    def select(self, index: Tensor) -> Prefix:
        return Prefix(self.tokens[index])


class TableOracle:
    """An expert that is a table too."""

    vocabulary_size = 5

    def __init__(self, seed: int) -> None:
        self.policy, self.queries = Table(seed).requires_grad_(False), 0

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        answer = self.policy(source, prefix, mask).log_softmax(-1)
        self.queries += answer[..., 0].numel()
        return answer

    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        return allowed_log_probs(self.log_probs(source, prefix, mask)).argmax(-1)


def episodes(sentences: list[tuple[int, ...]]) -> Batch:
    """Those sentences as a batch; all have the same source."""
    length = torch.tensor([len(sentence) for sentence in sentences])
    target = nn.utils.rnn.pad_sequence(
        [torch.tensor(sentence) for sentence in sentences], batch_first=True
    )
    source, limit = torch.full((len(length), 2), EOS), torch.full_like(length, target.shape[1])
    return Batch(torch.zeros_like(length), source, target, length, limit, torch.arange(len(length)))


def next_token(policy: Any, before: tuple[int, ...]) -> Tensor:
    """Log-probabilities ``[V]`` of what is written after ``before``; of an oracle too."""
    batch = episodes([(*before, EOS)])
    last = torch.arange(len(before) + 1)[None] == len(before)
    ask = policy.log_probs if hasattr(policy, "log_probs") else policy
    return allowed_log_probs(ask(batch.source, batch.prefix, last))[0]


def log_prob(policy: Any, sentence: tuple[int, ...]) -> Tensor:
    """Of the whole sentence."""
    return torch.stack(
        [next_token(policy, sentence[:time])[token] for time, token in enumerate(sentence)]
    ).sum()


def gradient(policy: Table, value: Tensor) -> Tensor:
    """Of ``value``, ``[13, 5]``."""
    policy.zero_grad()
    value.backward()
    return policy.table.grad.clone()


def assert_mean(samples: Tensor, expected: Tensor) -> None:
    """The mean of ``samples`` ``[R, 13, 5]`` is ``expected`` within its standard error, which is small enough to tell."""
    error = samples.std(0) / len(samples) ** 0.5
    assert error.norm() < 0.2 * expected.norm()
    assert ((samples.mean(0) - expected).abs() <= 4 * error + 1e-6).all()
