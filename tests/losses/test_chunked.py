"""Chunked losses: the same value and gradient as the whole, and only one chunk in memory."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from agents.losses.chunked import chunked_sum, recomputed

CHUNKS = [(slice(0, 1), slice(0, 3)), (slice(1, 3), slice(3, 4)), (slice(3, 4), slice(4, 9))]


def parts() -> tuple[torch.Tensor, torch.nn.Linear]:
    torch.manual_seed(0)
    return torch.randn(9, 4, requires_grad=True), torch.nn.Linear(4, 5)


@pytest.mark.parametrize("amp", [False, True])
def test_value_and_gradient_are_those_of_one_chunk(amp):
    features, head = parts()
    unused = torch.nn.Parameter(torch.ones(2))
    weights = [*head.parameters(), unused]

    def loss(chunk, rows, positions):
        assert len(chunk) == positions.stop - positions.start
        return head(chunk).float().logsumexp(-1).pow(2).sum()

    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        whole = loss(features, slice(0, 4), slice(0, 9))
        total = chunked_sum(loss, features, CHUNKS, weights)
    torch.testing.assert_close(total, whole)
    wanted = torch.autograd.grad(whole / 7, [features, *weights], allow_unused=True)
    for _ in range(2):
        found = torch.autograd.grad(
            total / 7, [features, *weights], allow_unused=True, retain_graph=True
        )
        assert found[-1] is None
        tolerance = {"rtol": 2e-2, "atol": 2e-2} if amp else {}
        torch.testing.assert_close(found[:-1], wanted[:-1], **tolerance)


def test_frozen_weights_get_no_gradient_and_no_grad_needs_none():
    features, head = parts()
    head.requires_grad_(False)

    def loss(chunk, rows, positions):
        return head(chunk).sum()

    total = chunked_sum(loss, features, CHUNKS, head.parameters())
    total.backward()
    torch.testing.assert_close(features.grad, head.weight.sum(0).expand(9, 4))
    with torch.no_grad():
        assert not chunked_sum(loss, features, CHUNKS, head.parameters()).requires_grad
    assert not chunked_sum(loss, features.detach(), CHUNKS, head.parameters()).requires_grad


def test_a_chunk_is_freed_before_the_next():
    features, head = parts()
    logits: list[weakref.ref[torch.Tensor]] = []

    def loss(chunk, rows, positions):
        gc.collect()
        assert not any(reference() is not None for reference in logits)
        output = head(chunk)
        logits.append(weakref.ref(output))
        return output.exp().sum()

    chunked_sum(loss, features, CHUNKS, head.parameters())
    assert len(logits) == 3


@pytest.mark.parametrize("needed", [True, False])
def test_recomputed_values_have_the_same_gradient(needed):
    features, head = parts()
    calls = []

    def values(chunk):
        calls.append(len(chunk))
        return head(chunk).logsumexp(-1)

    weighted = torch.arange(9.0) @ recomputed(values, features, needed=needed)
    found = torch.autograd.grad(weighted, [features, *head.parameters()])
    assert calls == [9, 9][: 1 + needed]
    wanted = torch.autograd.grad(
        torch.arange(9.0) @ values(features), [features, *head.parameters()]
    )
    torch.testing.assert_close(found, wanted)
