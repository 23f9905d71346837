"""Losses over the real positions of a batch: known optima, chunks and precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical

from agents.losses.divergences import DIVERGENCES, forward_kl, make_divergence, reverse_kl
from agents.losses.sequence import (
    bucket_tail,
    clone,
    cross_entropy,
    distillation_loss,
    nll,
    with_nll,
)
from textgen_env.types import Batch


def random_logits(seed: int, rows: int = 7, vocabulary: int = 5) -> torch.Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed))


# --- optima


def test_cross_entropy_is_minimal_where_it_equals_the_entropy():
    p, q = random_logits(0), random_logits(1)
    log_p, entropy = p.log_softmax(-1), Categorical(logits=p).entropy().mean()
    torch.testing.assert_close(cross_entropy(p, log_p), entropy)
    assert cross_entropy(q, log_p) - entropy > 0.01


def test_cross_entropy_has_no_gradient_at_its_optimum():
    log_p = random_logits(2).log_softmax(-1)
    at_optimum, elsewhere = random_logits(2).requires_grad_(), random_logits(3).requires_grad_()
    cross_entropy(at_optimum, log_p).backward()
    cross_entropy(elsewhere, log_p).backward()
    assert at_optimum.grad.abs().max() < 1e-7
    assert elsewhere.grad.abs().max() > 1e-3


def test_one_hot_distributions_equal_token_labels():
    logits, target = random_logits(4), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    one_hot = torch.full((7, 5), -math.inf).scatter(1, target[:, None], 0.0)
    torch.testing.assert_close(cross_entropy(logits, one_hot), nll(logits, target))


def test_label_smoothing_of_one_equals_the_uniform_distribution():
    logits, target = random_logits(5), torch.zeros(7, dtype=torch.int64)
    uniform = torch.full((7, 5), -math.log(5))
    torch.testing.assert_close(nll(logits, target, smoothing=1.0), cross_entropy(logits, uniform))


# --- chunks


class BigramOracle:
    """One distribution per last token. ``queried`` lists the number of positions per query."""

    vocabulary_size = 11

    def __init__(self):
        self.table = random_logits(2, 11, 11).log_softmax(-1)
        self.queried = []

    def log_probs(self, source, prefix, mask):
        self.queried.append(int(mask.sum()))
        return self.table[prefix[mask]]


class EmbeddingPolicy(torch.nn.Module):
    """Features embed the source and the last token. ``sizes`` lists the numbers of logits."""

    vocabulary_size = 11

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.source, self.token = torch.nn.Embedding(11, 8), torch.nn.Embedding(11, 8)
        self.output, self.dropout = torch.nn.Linear(8, 11), torch.nn.Dropout(0.5)
        self.sizes = []

    def features(self, source, prefix, mask):
        return self.dropout(self.token(prefix) + self.source(source).mean(1, keepdim=True))[mask]

    def head(self, features):
        logits = self.output(features)
        self.sizes.append(logits.numel())
        return logits


LOSSES = {
    "clone": lambda policy, _, batch: clone(policy, batch, batch.target[batch.mask]),
    "smoothed": lambda policy, _, batch: clone(policy, batch, batch.target[batch.mask], 0.1),
    "cross_entropy": lambda *models_and_batch: distillation_loss(*models_and_batch, cross_entropy),
    "top_3": lambda *models_and_batch: distillation_loss(*models_and_batch, cross_entropy, 3),
    "bucket_3": lambda *models_and_batch: distillation_loss(
        *models_and_batch, cross_entropy, 3, "bucket"
    ),
    **{
        name: lambda *models_and_batch, name=name: distillation_loss(
            *models_and_batch, make_divergence(name, 0.3)
        )
        for name in DIVERGENCES
    },
}


@pytest.fixture
def batch():
    """Rows of 3, 5, 1 and 1 positions."""
    length, generator = torch.tensor([3, 5, 1, 1]), torch.Generator().manual_seed(1)
    source, target = (torch.randint(4, 11, (4, width), generator=generator) for width in (4, 5))
    target = target.masked_fill(torch.arange(5) >= length[:, None], 0)
    return Batch(torch.arange(4), source, target, length, limit=length, row=torch.arange(4))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("max_logits", "chunks"), [(66, [3, 6, 1]), (90, [8, 2]), (1, [3, 5, 1, 1])]
)
def test_chunks_bound_the_logits_and_change_neither_value_nor_gradient(
    name, max_logits, chunks, batch, monkeypatch
):
    policy, oracle, results = EmbeddingPolicy().eval(), BigramOracle(), []
    longest_row = 5 * policy.vocabulary_size
    for limit, expected in ((1 << 20, [10]), (max_logits, chunks)):
        monkeypatch.setattr("textgen_env.chunks.MAX_LOGITS", limit)
        policy.sizes.clear()
        oracle.queried.clear()
        loss = LOSSES[name](policy, oracle, batch)
        gradients = torch.autograd.grad(loss.mean, [*policy.parameters()])
        assert max(policy.sizes) <= max(limit, longest_row)
        queries = [] if name in ("clone", "smoothed") else expected
        assert oracle.queried == queries  # and not queried again in the backward pass
        assert loss.weight == batch.tokens == 10
        results.append([loss.sum.detach(), *loss.metrics.values(), *gradients])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("max_logits", [1 << 20, 44])
def test_batch_losses_equal_those_of_their_logits(batch, max_logits, monkeypatch):
    monkeypatch.setattr("textgen_env.chunks.MAX_LOGITS", max_logits)
    policy, oracle = EmbeddingPolicy().eval(), BigramOracle()
    logits = policy.head(policy.features(batch.source, batch.prefix, batch.mask))
    log_probs, target = oracle.table[batch.prefix[batch.mask]], batch.target[batch.mask]
    weights, full = [*policy.parameters()], distillation_loss(policy, oracle, batch, cross_entropy)
    for loss, expected in (
        (clone(policy, batch, target), nll(logits, target)),
        (clone(policy, batch, target, 0.1), nll(logits, target, 0.1)),
        (full, cross_entropy(logits, log_probs)),
        (distillation_loss(policy, oracle, batch, reverse_kl), reverse_kl(logits, log_probs)),
    ):
        torch.testing.assert_close(loss.mean, expected)
        gradients = (
            torch.autograd.grad(x, weights, retain_graph=True) for x in (loss.mean, expected)
        )
        torch.testing.assert_close(*gradients)
    torch.testing.assert_close(full.metrics["kl"], forward_kl(logits, log_probs).detach())


def test_chunks_do_not_change_dropout(batch, monkeypatch):
    policy, results = EmbeddingPolicy(), []
    for limit in (1 << 20, 44):
        monkeypatch.setattr("textgen_env.chunks.MAX_LOGITS", limit)
        torch.manual_seed(5)
        loss = distillation_loss(policy, BigramOracle(), batch, cross_entropy).mean
        results.append((loss, torch.rand(1)))
    torch.testing.assert_close(*results)


def test_losses_are_computed_in_float32_under_autocast():
    policy, oracle, length = EmbeddingPolicy().eval(), BigramOracle(), torch.full((64,), 5)
    target = torch.randint(4, 11, (64, 5), generator=torch.Generator().manual_seed(1))
    rows = torch.arange(64)
    batch = Batch(rows, target[:, :4], target, length, limit=length, row=rows)
    with torch.autocast("cpu", torch.bfloat16):
        logits = policy.head(policy.features(batch.source, batch.prefix, batch.mask))
        loss = distillation_loss(policy, oracle, batch, cross_entropy)
    log_probs, exact = oracle.table[batch.prefix[batch.mask]], {"rtol": 1e-5, "atol": 1e-5}
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(loss.mean, cross_entropy(logits, log_probs), **exact)
    torch.testing.assert_close(loss.metrics["kl"], forward_kl(logits, log_probs), **exact)


# --- the tail in one bucket, and the NLL of the references


@pytest.mark.parametrize("top_k", [1, 3, 9])
@pytest.mark.parametrize("loss", [forward_kl, reverse_kl])
def test_a_kl_with_the_tail_in_one_bucket_is_at_most_the_whole_kl(batch, loss, top_k):
    policy, oracle = EmbeddingPolicy().eval(), BigramOracle()
    whole = distillation_loss(policy, oracle, batch, loss).mean
    assert 0 < distillation_loss(policy, oracle, batch, loss, top_k, "bucket").mean < whole
    everything = distillation_loss(
        policy, oracle, batch, loss, policy.vocabulary_size, "bucket"
    ).mean
    torch.testing.assert_close(everything, whole)


@pytest.mark.parametrize("top_k", [1, 3])
@pytest.mark.parametrize("sharpness", [0.3, 1.0, 3.0])
def test_a_kl_with_the_tail_in_one_bucket_is_never_negative(top_k, sharpness):
    """Without the tail the sum can be, where the student is surer of the k tokens."""
    p = random_logits(1, 200, 11).log_softmax(-1)
    q, index = (sharpness * p).log_softmax(-1), p.topk(top_k).indices
    bucketed_q, bucketed_p = bucket_tail(q, index), bucket_tail(p, index)
    torch.testing.assert_close(bucketed_p.exp().sum(-1), torch.ones(200))
    for loss in (forward_kl, reverse_kl):
        losses = [loss(bucketed_q[row, None], bucketed_p[row, None]) for row in range(200)]
        assert min(losses) >= -1e-6
        assert loss(bucketed_p, bucketed_p).abs() < 1e-6
    if sharpness > 1:
        assert (bucketed_p.exp() * (bucketed_p - bucketed_q))[:, :top_k].sum(-1).min() < 0


def test_the_bucket_holds_the_mass_of_all_other_tokens(batch):
    policy, oracle = EmbeddingPolicy().eval(), BigramOracle()
    logits = policy.head(policy.features(batch.source, batch.prefix, batch.mask))
    q, p = logits.softmax(-1), oracle.table[batch.prefix[batch.mask]].exp()
    top = p.topk(3)
    q_top, q_tail = q.gather(1, top.indices), 1 - q.gather(1, top.indices).sum(1)
    p_tail = 1 - top.values.sum(1)
    kl = (top.values * (top.values / q_top).log()).sum(1) + p_tail * (p_tail / q_tail).log()
    loss = distillation_loss(policy, oracle, batch, cross_entropy, 3, "bucket")
    torch.testing.assert_close(loss.metrics["kl"], kl.mean().detach())
    expected = torch.autograd.grad(kl.mean(), [*policy.parameters()])
    torch.testing.assert_close(torch.autograd.grad(loss.mean, [*policy.parameters()]), expected)


def test_mixing_with_the_nll_of_the_references(batch):
    policy, oracle = EmbeddingPolicy().eval(), BigramOracle()
    loss = distillation_loss(policy, oracle, batch, cross_entropy)
    references = batch.rows(torch.tensor([1, 0, 2, 3]))
    data = clone(policy, references, references.target[references.mask])
    mixed = with_nll(loss, policy, references, 0.25)
    torch.testing.assert_close(mixed.mean, 0.75 * loss.mean + 0.25 * data.mean)
    assert (mixed.weight, mixed.tokens) == (10, 20)
    assert mixed.metrics["nll"] == data.mean
    assert with_nll(loss, policy, references, 0.0) is loss
