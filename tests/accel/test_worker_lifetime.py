"""Workers belong to one policy, end with it, and survive neither an error nor Ctrl-C."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import signal
import sys
import threading

import pytest
import torch

from agents.generation.decoding import greedy
from agents.policies.transformer import TransformerPolicy
from agents.runs.machine import stop_workers
from support.small_decodes import (
    SIZES,
    V,
    assert_equal,
    assert_same_in_process,
    in_process,
    source,
    transformer,
)

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only"),
    pytest.mark.usefixtures("three_workers"),
]


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


class Faulty(TransformerPolicy):
    """In a worker, the first decode raises an error and the second one dies."""

    def step(self, token, state):
        if multiprocessing.parent_process() is not None:
            if self.target_embedding.weight[0, 0] == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            raise FloatingPointError("an error in a worker")
        return super().step(token, state)


def test_errors_and_deaths_of_workers_are_raised_and_the_next_decode_gets_new_workers():
    policy = Faulty(V, **SIZES).eval()
    with pytest.raises(RuntimeError, match="an error in a worker"):
        greedy(policy, source(), 3)
    with torch.no_grad():
        policy.target_embedding.weight[0, 0] = 7
    with pytest.raises(RuntimeError, match="has died"):
        greedy(policy, source(), 3)
    policy.step = TransformerPolicy.step.__get__(policy)
    assert_same_in_process(policy)


class Interrupted(TransformerPolicy):
    """Raises Ctrl-C in the parent, at its second step."""

    steps = 0

    def step(self, token, state):
        self.steps += 1
        if multiprocessing.parent_process() is None and self.steps == 2:
            signal.raise_signal(signal.SIGINT)
        return super().step(token, state)


def test_outputs_of_an_interrupted_decode_are_dropped():
    policy = Interrupted(V, **SIZES).eval()
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
    assert_same_in_process(policy, rows=6)
