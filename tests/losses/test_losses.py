"""The losses at their known optima."""

import math

import pytest
import torch

from agents.algorithms.schedules import BETA_SCHEDULES, beta_schedule
from agents.losses import divergences, sequence
from agents.losses.divergences import make_divergence
from agents.losses.sequence import clone, cross_entropy, distill, nll
from agents.training.learning_rate import LEARNING_RATE, learning_rate
from textgen_env.types import Batch


def random_logits(seed: int, rows: int = 7, vocabulary: int = 5) -> torch.Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed))


def test_kl_of_a_distribution_with_itself_is_zero_and_positive_otherwise():
    p, q = random_logits(0), random_logits(1)
    log_p = p.log_softmax(-1)
    entropy = torch.distributions.Categorical(logits=p).entropy().mean()
    assert torch.allclose(cross_entropy(p, log_p), entropy, atol=1e-6)
    assert cross_entropy(q, log_p) - entropy > 0.01


def test_cross_entropy_has_no_gradient_at_its_optimum():
    p = random_logits(2).requires_grad_()
    cross_entropy(p, p.detach().log_softmax(-1)).backward()
    assert p.grad.abs().max() < 1e-7
    q = random_logits(3).requires_grad_()
    cross_entropy(q, p.detach().log_softmax(-1)).backward()
    assert q.grad.abs().max() > 1e-3


def test_full_labels_that_are_certain_are_hard_labels():
    logits, target = random_logits(4), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    certain = torch.full((7, 5), -math.inf).scatter(1, target[:, None], 0.0)
    assert torch.allclose(cross_entropy(logits, certain), nll(logits, target))


def test_label_smoothing_of_one_is_the_uniform_distribution():
    logits, target = random_logits(5), torch.zeros(7, dtype=torch.int64)
    uniform = torch.full((7, 5), -math.log(5))
    assert torch.allclose(nll(logits, target, smoothing=1.0), cross_entropy(logits, uniform))


def test_beta_schedules_go_from_the_expert_to_the_learner():
    assert beta_schedule("exponential", 1 / 200)(0) == 1
    assert math.isclose(beta_schedule("exponential", 1 / 200)(1), 1 / 200)
    for name in BETA_SCHEDULES:
        values = [beta_schedule(name, 0.1)(step / 50) for step in range(51)]
        assert all(0 <= value <= 1 for value in values)
        assert values == sorted(values, reverse=True)
        assert name == "constant" or values[0] > 0.9


def test_learning_rates_peak_at_one_at_the_end_of_the_warm_up():
    for name in LEARNING_RATE:
        factors = [learning_rate(name, warmup=10, steps=100)(step) for step in range(100)]
        assert max(factors) == 1
        assert factors.index(1) == 9
        assert min(factors) > 0


# --- in chunks


class Fixed:
    """An oracle with one distribution for each last token; it notes at how many positions it is queried."""

    vocabulary_size = 11

    def __init__(self):
        self.table = random_logits(2, 11, 11).log_softmax(-1)
        self.queried = []

    def log_probs(self, source, prefix, mask):
        self.queried.append(int(mask.sum()))
        return self.table[prefix[mask]]


class Tiny(torch.nn.Module):
    """A policy whose features are embeddings of source and last token; it notes how many logits its head makes at once."""

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


ORACLE = Fixed()
LOSSES = {
    "clone": lambda policy, batch: clone(policy, batch, batch.target[batch.mask]),
    "smoothed": lambda policy, batch: clone(policy, batch, batch.target[batch.mask], 0.1),
    "cross_entropy": lambda policy, batch: distill(policy, ORACLE, batch, cross_entropy),
    "top_3": lambda policy, batch: distill(policy, ORACLE, batch, cross_entropy, 3),
    **{
        name: lambda policy, batch, name=name: distill(
            policy, ORACLE, batch, make_divergence(name, 0.3)
        )
        for name in divergences.DIVERGENCES
    },
}


@pytest.fixture
def batch():
    """Rows of 3, 5, 1 and 1 positions."""
    length, generator = torch.tensor([3, 5, 1, 1]), torch.Generator().manual_seed(1)
    source, target = (torch.randint(4, 11, (4, width), generator=generator) for width in (4, 5))
    target = target.masked_fill(torch.arange(5) >= length[:, None], 0)
    return Batch(torch.arange(4), source, target, length, limit=length, row=torch.arange(4))


@pytest.mark.parametrize("loss_of", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize(("chunk", "rows"), [(66, [3, 6, 1]), (90, [8, 2]), (1, [3, 5, 1, 1])])
def test_chunks_change_neither_value_nor_gradient_and_bound_the_logits(
    loss_of, chunk, rows, batch, monkeypatch
):
    policy, results = Tiny().eval(), []
    for limit, expected in ((1 << 20, [10]), (chunk, rows)):
        monkeypatch.setattr(sequence, "MAX_LOGITS", limit)
        policy.sizes.clear()
        ORACLE.queried.clear()
        loss = loss_of(policy, batch)
        assert ORACLE.queried in ([], expected)
        gradients = torch.autograd.grad(loss.mean, [*policy.parameters()])
        assert max(policy.sizes) <= max(limit, 5 * 11)
        assert ORACLE.queried in ([], expected)  # once, not again for the gradient
        assert loss.weight == batch.tokens == 10
        results.append([loss.sum.detach(), *loss.metrics.values(), *gradients])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [1 << 20, 44])
def test_a_loss_of_a_batch_is_that_of_its_logits(batch, chunk, monkeypatch):
    monkeypatch.setattr(sequence, "MAX_LOGITS", chunk)
    policy = Tiny().eval()
    logits = policy.head(policy.features(batch.source, batch.prefix, batch.mask))
    log_probs, target = ORACLE.table[batch.prefix[batch.mask]], batch.target[batch.mask]
    weights, full = [*policy.parameters()], distill(policy, ORACLE, batch, cross_entropy)
    for loss, plain in (
        (clone(policy, batch, target), nll(logits, target)),
        (clone(policy, batch, target, 0.1), nll(logits, target, 0.1)),
        (full, cross_entropy(logits, log_probs)),
        (
            distill(policy, ORACLE, batch, divergences.reverse_kl),
            divergences.reverse_kl(logits, log_probs),
        ),
    ):
        torch.testing.assert_close(loss.mean, plain)
        torch.testing.assert_close(
            *(torch.autograd.grad(x, weights, retain_graph=True) for x in (loss.mean, plain))
        )
    torch.testing.assert_close(
        full.metrics["kl"], divergences.forward_kl(logits, log_probs).detach()
    )


def test_chunks_do_not_change_what_dropout_drops(batch, monkeypatch):
    policy, losses = Tiny(), []
    for limit in (1 << 20, 44):
        monkeypatch.setattr(sequence, "MAX_LOGITS", limit)
        torch.manual_seed(5)
        losses.append(distill(policy, ORACLE, batch, cross_entropy).mean)
        losses.append(torch.rand(1))
    torch.testing.assert_close(losses[:2], losses[2:])


def test_a_loss_is_computed_in_float32_whatever_the_precision():
    policy, length = Tiny().eval(), torch.full((64,), 5)
    target = torch.randint(4, 11, (64, 5), generator=torch.Generator().manual_seed(1))
    batch = Batch(
        torch.arange(64), target[:, :4], target, length, limit=length, row=torch.arange(64)
    )
    with torch.autocast("cpu", torch.bfloat16):
        logits = policy.head(policy.features(batch.source, batch.prefix, batch.mask))
        loss = distill(policy, ORACLE, batch, cross_entropy)
    log_probs = ORACLE.table[batch.prefix[batch.mask]]
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(loss.mean, cross_entropy(logits, log_probs), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        loss.metrics["kl"], divergences.forward_kl(logits, log_probs), rtol=1e-5, atol=1e-5
    )
