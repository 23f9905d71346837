"""A decode that is shared out: the same tokens, the weights as they are, and no worker left behind."""

from __future__ import annotations

import copy
import gc
import os
import signal
import sys
import threading
import time

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
from textgen_env.types import EOS, Stepper, Trajectories

V, B = 12, 10
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch):
    """Three workers, for the smallest decode."""
    monkeypatch.setattr(workers, "MIN_ROWS", 1)
    monkeypatch.setattr(workers, "MIN_WORK", 0)
    monkeypatch.delenv("TEXTGEN_ACCEL", raising=False)
    accel.install(3)
    yield
    workers.set_max_workers(None)
    decoding.runner = decoding.run_in_process


def make(kind: str = "transformer", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    if kind == "gru":
        return RNN(V, encoder_width=8, width=16, embedding=8).eval()
    return Transformer(V, layers=1, width=16, heads=2, ffn=16).eval()


def source(rows: int = B) -> Tensor:
    return torch.randint(4, V, (rows, 5), generator=torch.Generator().manual_seed(1)).index_fill_(
        1, torch.tensor([4]), EOS
    )


def noise(source: Tensor) -> Tensor:
    return torch.rand(len(source), 12, generator=torch.Generator().manual_seed(0))


DECODERS = {
    "greedy": greedy,
    "forced": lambda policy, source, steps: greedy(policy, source, steps, source[:, :2]),
    "sample": lambda policy, source, steps: sample(policy, source, steps, noise(source)),
    "top_k": lambda policy, source, steps: sample(policy, source, steps, noise(source), 3),
    "beam": lambda policy, source, steps: beam_search(policy, source, steps, width=3, keep=2),
}


def alone(decode, *arguments) -> Trajectories:
    workers.set_max_workers(1)
    try:
        return decode(*arguments)
    finally:
        workers.set_max_workers(3)


def same(found: Trajectories, expected: Trajectories) -> None:
    assert torch.equal(found.action, expected.action)
    assert torch.equal(found.length, expected.length)
    torch.testing.assert_close(found.score, expected.score, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_workers_write_what_one_process_writes(kind: str, decode):
    policy, limit = make(kind), torch.arange(2, B + 2)
    for steps in (limit, 8):
        same(decode(policy, source(), steps), alone(decode, policy, source(), steps))
    assert len(workers.teams[policy].connections) == 2


def test_workers_have_the_weights_as_they_are():
    policy, before = make(), []
    optimiser = torch.optim.Adam(policy.parameters(), lr=0.3, fused=True)
    same(greedy(policy, source(), 8), alone(greedy, policy, source(), 8))
    for change in range(4):
        if change == 1:
            policy.load_state_dict(make(seed=9).state_dict())
        elif change == 2:
            policy.target_embedding.weight = nn.Parameter(
                make(seed=8).target_embedding.weight.detach().clone()
            )
        else:  # a fused step counts no version
            policy(source(), source()).logsumexp(-1).mean().backward()
            optimiser.step()
        found = greedy(policy, source(), 8)
        same(found, alone(greedy, policy, source(), 8))
        before.append(found.action)
    assert len({str(each.tolist()) for each in before}) == 4


def test_frozen_weights_that_are_changed_are_read_anew():
    policy = make().requires_grad_(False)
    first = greedy(policy, source(), 8)
    policy.load_state_dict(make(seed=5).state_dict())
    second = greedy(policy, source(), 8)
    same(second, alone(greedy, policy, source(), 8))
    assert not torch.equal(first.score, second.score)


def test_a_policy_that_is_thawed_and_trained_is_read_anew():
    policy = make().requires_grad_(False)
    greedy(policy, source(), 8)
    policy.requires_grad_(True)
    optimiser = torch.optim.Adam(policy.parameters(), lr=0.3, fused=True)
    for _ in range(2):
        policy(source(), source()).logsumexp(-1).mean().backward()
        optimiser.step()
        same(greedy(policy, source(), 8), alone(greedy, policy, source(), 8))


class Cast(nn.Module):
    """A policy that leaves its precision to autocast; ``scale`` is a buffer."""

    vocabulary_size = V

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(V, 8, generator=torch.Generator().manual_seed(0)))
        self.output = nn.Parameter(torch.randn(V, 8, generator=torch.Generator().manual_seed(1)))
        self.register_buffer("scale", torch.ones(8))

    def start(self, source: Tensor, steps: int) -> Rows:
        return Rows(len(source))

    def step(self, token: Tensor, state: Rows) -> tuple[Tensor, Rows]:
        return nn.functional.linear(self.table[token] * self.scale, self.output), state


class Rows(int):
    """The state of a policy that remembers nothing."""

    def select(self, index: Tensor) -> Rows:
        return Rows(len(index))


def test_what_autocast_keeps_of_weights_does_not_outlive_a_decode():
    policy, scores = Cast().eval(), []
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            found = greedy(policy, source(), 8)
            same(found, alone(greedy, policy, source(), 8))
        scores.append(found.score)
        with torch.no_grad():
            policy.output.neg_()
            policy.scale.mul_(0.5)
    assert policy in workers.teams
    assert len({str(score.tolist()) for score in scores}) == 3


def test_a_policy_that_learns_or_shares_its_weights_memory_is_not_shared_out():
    training, tied, inferring = make().train(), make(), make()
    tied.decoder[0].cross_norm.weight.data = tied.decoder[0].self_norm.weight.data
    greedy(training, source(), 8)
    greedy(tied, source(), 8)
    with torch.inference_mode():
        greedy(inferring, source(), 8)
    assert not any(policy in workers.teams for policy in (training, tied, inferring))
    inferring(source(), source()).sum().backward()


def test_a_copy_has_workers_of_its_own_and_a_dismissed_policy_new_ones():
    policy = make()
    first = greedy(policy, source(), 8)
    twin = copy.deepcopy(policy)
    with torch.no_grad():
        twin.target_embedding.weight.neg_()
    same(greedy(twin, source(), 8), alone(greedy, twin, source(), 8))
    stop_workers(policy)
    stop_workers(policy)
    assert policy not in workers.teams
    same(greedy(policy, source(), 8), first)


def test_two_threads_may_decode_at_once():
    policy, wrong = make(), []
    expected = {rows: alone(greedy, policy, source(rows), 8).action for rows in (6, 9)}

    def decode(rows: int) -> None:
        wrong.extend(
            rows
            for _ in range(10)
            if not torch.equal(greedy(policy, source(rows), 8).action, expected[rows])
        )

    threads = [threading.Thread(target=decode, args=(rows,)) for rows in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_workers_compute_in_the_precision_asked_for():
    policy = make()
    exact = greedy(policy, source(), 8)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = greedy(policy, source(), 8)
    assert not torch.equal(exact.score[-3:], rounded.score[-3:])  # the last share is a worker's
    same(greedy(policy, source(), 8), exact)


def test_training_goes_on_where_the_weights_are_now():
    policies = [make(), make()]
    greedy(policies[0], source(), 3)
    for policy in policies:
        optimiser = torch.optim.Adam(policy.parameters(), lr=0.1, fused=True)
        policy(source(), source()).logsumexp(-1).mean().backward()
        optimiser.step()
    for one, other in zip(*(policy.parameters() for policy in policies), strict=True):
        assert torch.equal(one, other)


def test_workers_end_with_their_policy():
    policy = make()
    greedy(policy, source(), 3)
    names = [worker.pid for worker in workers.multiprocessing.active_children()]
    assert names
    del policy
    gc.collect()
    assert not workers.multiprocessing.active_children()


class Faulty(Transformer):
    """Fails in a worker at the first try, dies at the second."""

    def step(self, token, state):
        if os.getpid() != self.owner:
            if self.target_embedding.weight[0, 0] == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            raise FloatingPointError("this row is cursed")
        return super().step(token, state)


def test_a_worker_that_fails_or_dies_is_an_error_and_the_next_decode_has_new_ones():
    policy = Faulty(V, layers=1, width=16, heads=2, ffn=16).eval()
    policy.owner = os.getpid()
    with pytest.raises(RuntimeError, match="this row is cursed"):
        greedy(policy, source(), 3)
    with torch.no_grad():
        policy.target_embedding.weight[0, 0] = 7
    with pytest.raises(RuntimeError, match="has died"):
        greedy(policy, source(), 3)
    policy.step = Transformer.step.__get__(policy)
    same(greedy(policy, source(), 3), alone(greedy, policy, source(), 3))


class Slow(Transformer):
    """Takes its time."""

    def step(self, token, state):
        time.sleep(0.2)
        return super().step(token, state)


def test_ctrl_c_leaves_no_answer_for_the_next_decode():
    policy = Slow(V, layers=1, width=16, heads=2, ffn=16).eval()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    handler = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background jobs begin with none
    threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        greedy(policy, source(), 8)
    signal.signal(signal.SIGINT, handler)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    same(greedy(policy, source(6), 2), alone(greedy, policy, source(6), 2))


class Counting:
    """No module: it counts what it is asked."""

    def __init__(self, policy: nn.Module) -> None:
        self.policy, self.asked = policy, 0

    def start(self, source: Tensor, steps: int):
        return self.policy.start(source, steps)

    def step(self, token: Tensor, state):
        self.asked += len(token)
        return self.policy.step(token, state)


def test_what_is_no_module_is_not_shared_out():
    stepper: Stepper = Counting(make())
    found = greedy(stepper, source(), 8)
    assert stepper.asked >= int(found.length.sum())


def test_small_decodes_are_not_shared_out(monkeypatch: pytest.MonkeyPatch):
    policy = make()
    monkeypatch.setattr(workers, "MIN_WORK", 1e9)
    greedy(policy, source(), 8)
    monkeypatch.setattr(workers, "MIN_WORK", 0)
    monkeypatch.setattr(workers, "MIN_ROWS", B)
    greedy(policy, source(), 8)
    assert policy not in workers.teams
    beam_search(policy, source(), 8, width=3)
    assert policy in workers.teams
