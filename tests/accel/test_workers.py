"""Decoding in workers gives the same tokens, with the current weights and precision."""

from __future__ import annotations

import multiprocessing
import sys

import pytest
import torch
from torch import Tensor, nn

from agents.accel import workers
from agents.generation.beam import beam_search
from agents.generation.decoding import greedy, sample
from support.small_decodes import (
    B,
    V,
    assert_equal,
    assert_same_in_process,
    gru,
    in_process,
    source,
    transformer,
)

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only"),
    pytest.mark.usefixtures("three_workers"),
]


def noise(source: Tensor) -> Tensor:
    return torch.rand(len(source), 12, generator=torch.Generator().manual_seed(0))


DECODERS = {
    "greedy": greedy,
    "forced": lambda policy, source, limit: greedy(policy, source, limit, source[:, :2]),
    "sample": lambda policy, source, limit: sample(policy, source, limit, noise(source)),
    "top_k": lambda policy, source, limit: sample(policy, source, limit, noise(source), 3),
    "beam": lambda policy, source, limit: beam_search(policy, source, limit, width=3, keep=2),
}


def train_step(policy: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    policy(source(), source()).logsumexp(-1).mean().backward()
    optimizer.step()


@pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("make", [transformer, gru])
def test_workers_generate_the_same_as_one_process(make, decode):
    policy = make()
    for limit in (torch.arange(2, B + 2), 8):
        expected = in_process(decode, policy, source(), limit)
        assert_equal(decode(policy, source(), limit), expected)
    assert len(multiprocessing.active_children()) == 2
    assert policy in workers.teams


def test_workers_use_the_current_weights():
    """After fused optimizer steps, which change no version counter, loading and replacing."""
    policy = transformer()
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.3, fused=True)
    scores = [assert_same_in_process(policy)]
    train_step(policy, optimizer)
    scores.append(assert_same_in_process(policy))
    policy.load_state_dict(transformer(seed=9).state_dict())
    scores.append(assert_same_in_process(policy))
    other = transformer(seed=8).target_embedding.weight
    policy.target_embedding.weight = nn.Parameter(other.detach().clone())
    scores.append(assert_same_in_process(policy))
    assert len({str(score.tolist()) for score in scores}) == 4


def test_workers_use_the_current_weights_of_a_policy_that_was_frozen():
    policy = transformer().requires_grad_(False)
    first = assert_same_in_process(policy)
    policy.load_state_dict(transformer(seed=5).state_dict())
    assert not torch.equal(first, assert_same_in_process(policy))
    policy.requires_grad_(True)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.3, fused=True)
    for _ in range(2):
        train_step(policy, optimizer)
        assert_same_in_process(policy)


def test_training_is_the_same_after_a_decode():
    """Moving the weights to shared memory leaves gradients and optimizer steps unchanged."""
    policies = [transformer(), transformer()]
    greedy(policies[0], source(), 3)
    for policy in policies:
        train_step(policy, torch.optim.Adam(policy.parameters(), lr=0.1, fused=True))
    for a, b in zip(*(policy.parameters() for policy in policies), strict=True):
        assert torch.equal(a, b)


class Stateless(nn.Module):
    """A policy whose precision is autocast's and whose ``scale`` is a buffer."""

    vocabulary_size = V

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(V, 8, generator=generator))
        self.output = nn.Parameter(torch.randn(V, 8, generator=generator))
        self.register_buffer("scale", torch.ones(8))

    def start(self, source: Tensor, limit: int) -> Rows:
        return Rows()

    def step(self, token: Tensor, state: Rows) -> tuple[Tensor, Rows]:
        return nn.functional.linear(self.table[token] * self.scale, self.output), state


class Rows:
    """A state that remembers nothing."""

    def select(self, index: Tensor) -> Rows:
        return self


def test_autocast_casts_of_earlier_weights_are_dropped():
    policy, scores = Stateless().eval(), []
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            output = greedy(policy, source(), 8)
            assert_equal(output, in_process(greedy, policy, source(), 8))
        scores.append(output.score)
        with torch.no_grad():
            policy.output.neg_()
            policy.scale.mul_(0.5)
    assert policy in workers.teams
    assert len({str(score.tolist()) for score in scores}) == 3


def test_workers_compute_in_the_current_precision():
    policy = transformer()
    exact = greedy(policy, source(), 8)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = greedy(policy, source(), 8)
    assert not torch.equal(exact.score[-3:], rounded.score[-3:])  # these rows are a worker's
    assert_equal(greedy(policy, source(), 8), exact)


class Counter:
    """A ``Stepper`` that is no module: its steps have a side effect."""

    def __init__(self, policy: nn.Module) -> None:
        self.policy, self.tokens = policy, 0

    def start(self, source: Tensor, limit: int):
        return self.policy.start(source, limit)

    def step(self, token: Tensor, state):
        self.tokens += len(token)
        return self.policy.step(token, state)


def test_policies_that_cannot_be_shared_are_decoded_in_process():
    training, tied, inference = transformer().train(), transformer(), transformer()
    tied.decoder[0].cross_norm.weight.data = tied.decoder[0].self_norm.weight.data
    greedy(training, source(), 8)
    greedy(tied, source(), 8)
    with torch.inference_mode():
        greedy(inference, source(), 8)
    inference(source(), source()).sum().backward()
    counter = Counter(transformer())
    output = greedy(counter, source(), 8)
    assert counter.tokens >= int(output.length.sum())
    assert not multiprocessing.active_children()


def test_small_decodes_run_in_process(monkeypatch: pytest.MonkeyPatch):
    policy = transformer()
    monkeypatch.setattr(workers, "MIN_WORK", 1e9)
    greedy(policy, source(), 8)
    monkeypatch.setattr(workers, "MIN_WORK", 0)
    monkeypatch.setattr(workers, "MIN_ROWS", B)
    greedy(policy, source(), 8)
    assert policy not in workers.teams
    beam_search(policy, source(), 8, width=3)
    assert policy in workers.teams
