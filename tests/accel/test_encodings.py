"""Kept encodings: the same answers, the same bits whenever they are first asked for, and no more memory than allowed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.accel import encodings
from agents.accel.encodings import Encodings
from agents.generation.decoding import greedy
from agents.policies.transformer import Transformer
from agents.runs.training import cached_encodings
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.types import EOS

V, WIDTH = 20, 16


@pytest.fixture(scope="module")
def policy() -> Transformer:
    return Transformer(V, layers=2, width=WIDTH, generator=torch.Generator().manual_seed(0)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def sources() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [np.append(random.integers(4, V, size), EOS) for size in random.integers(1, 12, 300)]


def batch(sources: list[np.ndarray]) -> Tensor:
    return pad_sequence([torch.from_numpy(source) for source in sources], batch_first=True)


@pytest.mark.parametrize("megabytes", [1, 0.05])
def test_logits_are_the_same_for_kept_new_and_strange_sources(policy: Transformer, sources, megabytes: float):
    prefix = torch.randint(4, V, (9, 5), generator=torch.Generator().manual_seed(1))
    asked = [*sources[:4], *sources[200:203], np.array([5, EOS]), np.array([19] * 15 + [EOS])]
    with torch.no_grad():
        exact = policy(batch(asked), prefix)
        policy.encodings = kept = Encodings(policy.read, sources, WIDTH, megabytes)
        try:
            for _ in range(2):
                torch.testing.assert_close(policy(batch(asked), prefix), exact, rtol=1e-4, atol=1e-4)
        finally:
            policy.encodings = None
    assert kept.read


def test_bits_do_not_depend_on_what_was_asked_before(policy: Transformer, sources):
    early, late = (Encodings(policy.read, sources, WIDTH, 1) for _ in range(2))
    with torch.no_grad():
        for start in range(0, 300, 30):
            late(batch(sources[start : start + 30]))
        asked = batch(sources[7:19])
        assert torch.equal(early(asked), late(asked))


def test_a_source_is_encoded_once_and_the_bound_is_kept(policy: Transformer, sources, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(encodings, "COMPANY", 8)
    read: list[int] = []

    def encode(source: Tensor) -> Tensor:
        read.append(len(source))
        return policy.read(source)

    distinct = len({source.tobytes() for source in sources})
    with torch.no_grad():
        whole = Encodings(encode, sources, WIDTH, 1)
        assert whole.share == 1
        for _ in range(3):
            whole(batch(sources))
        assert sum(read) == distinct
        for megabytes in (0.02, 0.05):
            part = Encodings(encode, sources, WIDTH, megabytes)
            part(batch(sources))
            assert 0 < part.share < 1
            assert part.kept is not None
            assert 0.7 * megabytes * 2**20 < part.kept.nbytes <= megabytes * 2**20
        assert Encodings(encode, sources, WIDTH, 0).share == 0
        positions = sum(map(len, {source.tobytes(): source for source in sources}.values()))
        assert Encodings(encode, sources, WIDTH, positions * WIDTH * 4 / 2**20).share == 1  # no padding is kept


@pytest.mark.parametrize(("device", "megabytes", "kept"), [("cpu", 1, True), ("cpu", 0, False), ("cuda", 1, False)])
def test_a_teacher_keeps_them_for_a_training_on_a_processor(policy: Transformer, task, device: str, megabytes: int, kept: bool):
    oracle = PolicyOracle(policy, greedy, task.vocabulary, task.vocabulary)
    with cached_encodings(oracle, task, megabytes, device):
        assert (policy.encodings is not None) == kept
    assert policy.encodings is None


def test_a_policy_that_learns_does_not_use_them(policy: Transformer, sources):
    def fail(source: Tensor) -> Tensor:
        raise AssertionError

    policy.encodings = fail
    try:
        policy.encode(batch(sources[:2]))  # a gradient may be wanted
        with torch.no_grad():
            policy.train().encode(batch(sources[:2]))
    finally:
        policy.eval()
        policy.encodings = None
