"""A task with fifteen sentences: three tokens, at most three steps. Expectations in it are sums."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.algorithms import Algorithm, Clock, Loss
from agents.generation.decoding import allowed_log_probs
from textgen_env.types import EOS, Batch, Trajectories

A, B = 3, 4
TOKENS = (EOS, A, B)
MAX_STEPS = 3
SENTENCES = [
    s
    for n in range(1, MAX_STEPS + 1)
    for s in itertools.product(TOKENS, repeat=n)
    if EOS not in s[:-1] and (n == MAX_STEPS or s[-1] == EOS)
]
REFERENCE = (A, B, EOS)

Sentence = tuple[int, ...]


class Table(nn.Module):
    """A policy with five logits for each of the thirteen strings of fewer than three tokens."""

    vocabulary_size, feature_width = 5, 13

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(torch.randn(13, 5, generator=self.generator))

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.head(self.features(source, prefix, mask))

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """One-hot encoding of the prefix."""
        state = torch.zeros_like(prefix)
        for time in range(1, prefix.shape[1]):
            state[:, time] = 3 * state[:, time - 1] + 1 + (prefix[:, time] - EOS).clamp(min=0)
        features = nn.functional.one_hot(state.clamp(max=12), 13).float()  # [B, T, 13]
        return features if mask is None else features[mask]

    def head(self, features: Tensor) -> Tensor:
        return features @ self.table

    def start(self, source: Tensor, steps: int) -> PrefixState:
        return PrefixState(source[:, :0])

    def step(self, token: Tensor, state: PrefixState) -> tuple[Tensor, PrefixState]:
        prefix = torch.cat([state.tokens, token[:, None]], 1)
        return self(prefix, prefix)[:, -1], PrefixState(prefix)


@dataclass
class PrefixState:
    """The decoding state of a ``Table``."""

    tokens: Tensor

    def select(self, index: Tensor) -> PrefixState:
        return PrefixState(self.tokens[index])


class TableOracle:
    """An oracle with the distributions of a ``Table``."""

    vocabulary_size = 5

    def __init__(self, seed: int) -> None:
        self.policy, self.queries = Table(seed).requires_grad_(False), 0

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        log_probs = self.policy(source, prefix, mask).log_softmax(-1)
        self.queries += log_probs[..., 0].numel()
        return log_probs

    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        return allowed_log_probs(self.log_probs(source, prefix, mask)).argmax(-1)


# --- sentences and batches


def as_batch(sentences: Iterable[Sentence]) -> Batch:
    """The sentences as a batch of targets; all rows have the same source."""
    rows = [torch.tensor(sentence) for sentence in sentences]
    length = torch.tensor([*map(len, rows)])
    target = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    source, limit = torch.full((len(rows), 2), EOS), torch.full_like(length, target.shape[1])
    return Batch(torch.zeros_like(length), source, target, length, limit, torch.arange(len(rows)))


def sentences_of(action: Tensor, length: Tensor) -> list[Sentence]:
    """The rows of ``action`` ``[B, T]`` as sentences."""
    return [tuple(row[:n]) for row, n in zip(action.tolist(), length.tolist(), strict=True)]


def completed(policy: Any, sentence: Sentence) -> Sentence:
    """``sentence`` continued to its end by the policy's or oracle's most likely tokens."""
    while len(sentence) < MAX_STEPS and sentence[-1:] != (EOS,):
        sentence = (*sentence, int(next_token(policy, sentence).argmax()))
    return sentence


# --- rewards


def token_rewards(sentence: Sentence, index: int = 0) -> list[float]:
    """A reward for each token, which depends on all tokens up to it and on the row."""
    return [
        ((7 * sum(a * 3**i for i, a in enumerate(sentence[: t + 1])) + 3 * t) % 11 - 4) / 4 + index
        for t in range(len(sentence))
    ]


def reward(index: Tensor, trajectories: Trajectories) -> np.ndarray:
    """``token_rewards`` as a reward function."""
    rewards = np.zeros(trajectories.action.shape)
    sentences = sentences_of(trajectories.action, trajectories.length)
    for row, (number, sentence) in enumerate(zip(index, sentences, strict=True)):
        rewards[row, : len(sentence)] = token_rewards(sentence, int(number))
    return rewards


def constant_reward(value: float) -> Any:
    """A reward function that gives every episode ``value``, at its first step."""

    def constant(index: Tensor, trajectories: Trajectories) -> np.ndarray:
        rewards = np.zeros(trajectories.action.shape)
        rewards[:, 0] = value
        return rewards

    return constant


def recorded(
    kind: Callable[..., Algorithm], policy: Table, **settings: Any
) -> tuple[list[Trajectories], Algorithm]:
    """The list to which a reward function appends what it scores, and an algorithm that uses it."""
    scored: list[Trajectories] = []

    def record(index: Tensor, trajectories: Trajectories) -> np.ndarray:
        scored.append(trajectories)
        return reward(index, trajectories)

    return scored, kind(policy, reward=record, **settings)


# --- exact probabilities and gradients


def next_token(policy: Any, prefix: Sentence) -> Tensor:
    """Log-probabilities ``[V]`` of a policy or oracle after ``prefix``."""
    batch = as_batch([(*prefix, EOS)])
    last = torch.arange(len(prefix) + 1)[None] == len(prefix)
    log_probs = policy.log_probs if hasattr(policy, "log_probs") else policy
    return allowed_log_probs(log_probs(batch.source, batch.prefix, last))[0]


def log_prob(policy: Any, sentence: Sentence) -> Tensor:
    """Log-probability of the whole sentence."""
    return torch.stack(
        [next_token(policy, sentence[:time])[token] for time, token in enumerate(sentence)]
    ).sum()


def exact_cost_to_go(policy: Any, prefix: Sentence, action: int) -> float:
    """Minus the rewards of ``action`` and of what the policy or oracle then generates greedily."""
    return -sum(token_rewards(completed(policy, (*prefix, action)))[len(prefix) :])


def exact_gradient(
    policy: Table, value: Callable[[Sentence], float], forced: Sentence = ()
) -> Tensor:
    """Gradient of E[value(y)] over the sentences y that the policy generates after ``forced``."""
    expectation = torch.zeros(())
    for sentence in SENTENCES:
        if sentence[: len(forced)] == forced:
            log_prob_of_forced = log_prob(policy, forced) if forced else 0.0
            probability = (log_prob(policy, sentence) - log_prob_of_forced).exp()
            expectation = expectation + probability * value(sentence)
    return gradient(policy, expectation)


def gradient(policy: Table, value: Tensor) -> Tensor:
    """Gradient ``[13, 5]`` of ``value``."""
    policy.zero_grad()
    value.backward()
    return policy.table.grad.clone()


# --- sampled gradients


def loss_at(algorithm: Algorithm, batch: Batch, progress: float = 0.5, seed: int = 0) -> Loss:
    """The first loss of a round, at the given fraction of the training."""
    return next(algorithm.updates([batch], Clock(seed, round(progress * 1000), 1000)))


def sampled_gradients(
    algorithm: Algorithm,
    rounds: int = 50,
    rows: int = 200,
    sentence: Sentence = REFERENCE,
    progress: float = 0.5,
    per_row: bool = False,
) -> Tensor:
    """Gradients ``[rounds, 13, 5]`` of the loss, each round with its own random numbers.

    Args:
        algorithm: its policy is a ``Table``.
        rounds: number of gradients.
        rows: of the batch.
        sentence: the reference of all rows.
        progress: fraction of the training.
        per_row: divide the loss by the number of rows, not by its weight.
    """
    batch = as_batch([sentence] * rows)
    losses = (loss_at(algorithm, batch, progress, seed) for seed in range(rounds))
    policy: Any = algorithm.policy
    return torch.stack(
        [gradient(policy, loss.sum / rows if per_row else loss.mean) for loss in losses]
    )


def assert_mean(samples: Tensor, expected: Tensor) -> None:
    """The mean of ``samples`` ``[R, 13, 5]`` is ``expected`` within four standard errors.

    The standard error has to be small against ``expected``, so that a wrong mean is detected.
    """
    error = samples.std(0) / len(samples) ** 0.5
    assert error.norm() < 0.2 * expected.norm()
    assert ((samples.mean(0) - expected).abs() <= 4 * error + 1e-5).all()


def assert_frequencies(samples: list[Sentence], probabilities: Mapping[Sentence, float]) -> None:
    """Each sentence occurs as often as its probability says, within four standard deviations."""
    for sentence, p in probabilities.items():
        deviation = (p * (1 - p) / len(samples)) ** 0.5
        assert abs(samples.count(sentence) / len(samples) - p) < 4 * deviation
