"""The losses at their known optima."""

import math

import pytest
import torch

from agents.algorithms.schedules import BETA, beta
from agents.losses import divergences
from agents.losses import sequence as losses
from agents.losses.divergences import divergence
from agents.losses.sequence import cross_entropy, nll
from agents.policies.transformer import Transformer
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
    assert beta("exponential", 1 / 200)(0) == 1
    assert math.isclose(beta("exponential", 1 / 200)(1), 1 / 200)
    for name in BETA:
        values = [beta(name, 0.1)(step / 50) for step in range(51)]
        assert all(0 <= value <= 1 for value in values)
        assert values == sorted(values, reverse=True)
        assert name == "constant" or values[0] > 0.9


def test_learning_rates_peak_at_one_at_the_end_of_the_warm_up():
    for name in LEARNING_RATE:
        factors = [learning_rate(name, warmup=10, steps=100)(step) for step in range(100)]
        assert max(factors) == 1
        assert factors.index(1) == 9
        assert min(factors) > 0


class Fixed:
    """An oracle with one distribution for each last token; it notes how many positions it is asked about."""

    vocabulary_size = 11

    def __init__(self) -> None:
        self.table = torch.randn(11, 11, generator=torch.Generator().manual_seed(2)).log_softmax(-1)
        self.asked: list[int] = []

    def log_probs(self, source, prefix, mask):
        self.asked.append(int(mask.sum()))
        return self.table[prefix[mask]]


ORACLE = Fixed()
IN_PARTS = {
    "cloning": lambda policy, batch: losses.cloning(policy, batch, batch.target[batch.mask]),
    "smoothed": lambda policy, batch: losses.cloning(policy, batch, batch.target[batch.mask], 0.1),
    "full": lambda policy, batch: losses.full(policy, ORACLE, batch)[0],
    "top_3": lambda policy, batch: losses.full(policy, ORACLE, batch, 3)[0],
    **{
        name: lambda policy, batch, name=name: losses.distilling(policy, ORACLE, batch, divergence(name, 0.3))
        for name in divergences.NAMED
    },
}


@pytest.mark.parametrize("loss_of", IN_PARTS.values(), ids=IN_PARTS)
def test_a_loss_in_parts_is_the_same_with_the_same_gradient_and_no_more_logits_than_allowed(loss_of, monkeypatch):
    policy = Transformer(11, layers=1, width=8, heads=2, ffn=8).eval()
    length = torch.tensor([3, 5, 1, 1])
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(4, 11, (4, 5), generator=generator).masked_fill(torch.arange(5) >= length[:, None], 0)
    batch = Batch(torch.arange(4), torch.randint(4, 11, (4, 4), generator=generator), target, length, limit=length)
    sizes = []

    def logits(features: torch.Tensor) -> torch.Tensor:
        sizes.append(len(features))
        return Transformer.head(policy, features)

    monkeypatch.setattr(policy, "head", logits, raising=False)
    found = []
    for limit, expected in ((1 << 20, [10]), (66, [3, 6, 1]), (1, [3, 5, 1, 1])):
        sizes.clear()
        ORACLE.asked.clear()
        monkeypatch.setattr(losses, "LOGITS", limit)
        policy.zero_grad()
        loss = loss_of(policy, batch)
        (3 * loss).backward()
        found.append([loss.detach(), *(weight.grad.clone() for weight in policy.parameters())])
        assert sizes == expected
        assert ORACLE.asked in ([], expected)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-6)


def test_a_loss_in_parts_and_blocks_is_the_plain_loss_with_its_gradient(monkeypatch):
    policy = Transformer(11, layers=1, width=8, heads=2, ffn=8).eval()
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(4, 11, (3, 5), generator=generator)
    length = torch.tensor([5, 2, 4])
    batch = Batch(torch.arange(3), torch.randint(4, 11, (3, 4), generator=generator), target, length, limit=length)
    logits, log_probs = policy(batch.source, batch.prefix, batch.mask), ORACLE.table[batch.prefix[batch.mask]]
    monkeypatch.setattr(losses, "LOGITS", 44)
    monkeypatch.setattr(losses, "BLOCK", 22)  # two positions
    said, weights, (full, excess) = target[batch.mask], [*policy.parameters()], losses.full(policy, ORACLE, batch)
    for mine, plain in (
        (losses.cloning(policy, batch, said), nll(logits, said)),
        (losses.cloning(policy, batch, said, 0.1), nll(logits, said, 0.1)),
        (full, losses.cross_entropy(logits, log_probs)),
        (losses.distilling(policy, ORACLE, batch, divergences.total_variation), divergences.total_variation(logits, log_probs)),
    ):
        torch.testing.assert_close(mine, plain)
        gradients = (torch.autograd.grad(each, weights, retain_graph=True) for each in (mine, plain))
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(excess, divergences.forward_kl(logits, log_probs).detach())


def test_a_loss_is_computed_in_float32_whatever_the_precision():
    policy = Transformer(11, layers=1, width=8, heads=2, ffn=8).eval()
    target = torch.randint(4, 11, (64, 5), generator=torch.Generator().manual_seed(1))
    length = torch.full((64,), 5)
    batch = Batch(torch.arange(64), target[:, :4], target, length, limit=length)
    with torch.autocast("cpu", torch.bfloat16):
        logits, (loss, excess) = policy(batch.source, batch.prefix, batch.mask), losses.full(policy, ORACLE, batch)
    log_probs = ORACLE.table[batch.prefix[batch.mask]]
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(loss, losses.cross_entropy(logits, log_probs), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(excess, divergences.forward_kl(logits, log_probs), rtol=1e-5, atol=1e-5)
