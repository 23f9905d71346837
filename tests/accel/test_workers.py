"""Decoding in workers: the same tokens, the current weights, and no worker left behind."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from agents import accel
from agents.accel import workers
from agents.generation import decoding
from agents.generation.beam import beam_search
from agents.generation.decoding import greedy, sample
from agents.policies.rnn import RNN
from agents.policies.transformer import Transformer
from agents.runs.machine import stop_workers
from textgen_env.types import EOS, Trajectories

V, B = 12, 10
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


@pytest.fixture(autouse=True)
def three_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use workers for the smallest decode."""
    monkeypatch.setattr(workers, "MIN_ROWS", 1)
    monkeypatch.setattr(workers, "MIN_WORK", 0)
    monkeypatch.delenv("TEXTGEN_ACCEL", raising=False)
    accel.install(3)
    yield
    for policy in [*workers.teams]:
        stop_workers(policy)
    workers.set_max_workers(None)
    decoding.runner = decoding.run_in_process


def transformer(seed: int = 0) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(V, layers=1, width=16, heads=2, ffn=16).eval()


def gru() -> RNN:
    torch.manual_seed(0)
    return RNN(V, encoder_width=8, width=16, embedding=8).eval()


def source(rows: int = B) -> Tensor:
    tokens = torch.randint(4, V, (rows, 5), generator=torch.Generator().manual_seed(1))
    tokens[:, 4] = EOS
    return tokens


def noise(source: Tensor) -> Tensor:
    return torch.rand(len(source), 12, generator=torch.Generator().manual_seed(0))


DECODERS = {
    "greedy": greedy,
    "forced": lambda policy, source, limit: greedy(policy, source, limit, source[:, :2]),
    "sample": lambda policy, source, limit: sample(policy, source, limit, noise(source)),
    "top_k": lambda policy, source, limit: sample(policy, source, limit, noise(source), 3),
    "beam": lambda policy, source, limit: beam_search(policy, source, limit, width=3, keep=2),
}


def in_process(decode, *arguments) -> Trajectories:
    workers.set_max_workers(1)
    try:
        return decode(*arguments)
    finally:
        workers.set_max_workers(3)


def assert_equal(actual: Trajectories, expected: Trajectories) -> None:
    assert torch.equal(actual.action, expected.action)
    assert torch.equal(actual.length, expected.length)
    torch.testing.assert_close(actual.score, expected.score, rtol=1e-5, atol=1e-5)


def assert_same_in_process(policy: nn.Module) -> Tensor:
    """Decode with and without workers; return the scores."""
    output = greedy(policy, source(), 8)
    assert_equal(output, in_process(greedy, policy, source(), 8))
    return output.score


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


def test_a_copy_gets_workers_of_its_own():
    policy = transformer()
    first = greedy(policy, source(), 8)
    twin = copy.deepcopy(policy)
    with torch.no_grad():
        twin.target_embedding.weight.neg_()
    assert_same_in_process(twin)
    assert_equal(greedy(policy, source(), 8), first)


def test_workers_end_on_request_and_with_their_policy():
    policy = transformer()
    first = greedy(policy, source(), 8)
    stop_workers(policy)
    stop_workers(policy)
    assert not multiprocessing.active_children()
    assert_equal(greedy(policy, source(), 8), first)
    assert multiprocessing.active_children()
    del policy
    gc.collect()
    assert not multiprocessing.active_children()


def test_two_threads_can_decode_at_once():
    policy, mismatches = transformer(), []
    expected = {rows: in_process(greedy, policy, source(rows), 8).action for rows in (6, 9)}

    def decode(rows: int) -> None:
        for _ in range(10):
            if not torch.equal(greedy(policy, source(rows), 8).action, expected[rows]):
                mismatches.append(rows)

    threads = [threading.Thread(target=decode, args=(rows,)) for rows in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not mismatches


class Faulty(Transformer):
    """In a worker, the first decode raises an error and the second one dies."""

    def step(self, token, state):
        if multiprocessing.parent_process() is not None:
            if self.target_embedding.weight[0, 0] == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            raise FloatingPointError("an error in a worker")
        return super().step(token, state)


def test_errors_and_deaths_of_workers_are_raised_and_the_next_decode_gets_new_workers():
    policy = Faulty(V, layers=1, width=16, heads=2, ffn=16).eval()
    with pytest.raises(RuntimeError, match="an error in a worker"):
        greedy(policy, source(), 3)
    with torch.no_grad():
        policy.target_embedding.weight[0, 0] = 7
    with pytest.raises(RuntimeError, match="has died"):
        greedy(policy, source(), 3)
    policy.step = Transformer.step.__get__(policy)
    assert_equal(greedy(policy, source(), 3), in_process(greedy, policy, source(), 3))


class Interrupted(Transformer):
    """Raises Ctrl-C in the parent, at its second step."""

    steps = 0

    def step(self, token, state):
        self.steps += 1
        if multiprocessing.parent_process() is None and self.steps == 2:
            signal.raise_signal(signal.SIGINT)
        return super().step(token, state)


def test_outputs_of_an_interrupted_decode_are_dropped():
    policy = Interrupted(V, layers=1, width=16, heads=2, ffn=16).eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            greedy(policy, source(), 8)
        assert torch.get_num_threads() == 2
    finally:
        signal.signal(signal.SIGINT, handler)
        torch.set_num_threads(threads)
    assert_equal(greedy(policy, source(6), 2), in_process(greedy, policy, source(6), 2))
