"""Divergences: definitions, zeros, bounds, and the limits of the JSD at β = 0 and 1."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from agents.losses.divergences import (
    DIVERGENCES,
    forward_kl,
    jsd,
    make_divergence,
    reverse_kl,
    skew_kl,
    skew_reverse_kl,
    total_variation,
)
from agents.losses.sequence import cross_entropy
from textgen_env.errors import UserError

BETAS = (0.0, 0.1, 0.5, 0.9, 1.0)


def log_probs(seed: int, rows: int = 6, vocabulary: int = 7) -> torch.Tensor:
    """Random normalized log-probabilities ``[rows, vocabulary]``, which are also valid logits."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(rows, vocabulary, generator=generator)).log_softmax(-1)


def kl(p, q):
    """KL(p ‖ q) for each row, by torch.distributions."""
    return kl_divergence(Categorical(logits=p), Categorical(logits=q))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("name", DIVERGENCES)
def test_value_and_gradient_are_zero_only_for_equal_distributions(name, beta):
    divergence, p = make_divergence(name, beta), log_probs(0)
    logits = (p + 3).requires_grad_()
    value = divergence(logits, p)
    value.backward()
    torch.testing.assert_close(value, torch.zeros(()), atol=1e-6, rtol=0)
    if name != "total_variation":  # which is not differentiable at 0
        assert logits.grad.abs().max() < 1e-6
    assert divergence(log_probs(1), p) > 0.05


def test_divergences_equal_their_definitions():
    q, p = log_probs(0), log_probs(1)
    torch.testing.assert_close(forward_kl(q, p), kl(p, q).mean())
    torch.testing.assert_close(reverse_kl(q, p), kl(q, p).mean())
    entropy = Categorical(logits=p).entropy().mean()
    torch.testing.assert_close(forward_kl(q, p), cross_entropy(q, p) - entropy)
    for beta in (0.1, 0.5, 0.9):
        m = (beta * p.exp() + (1 - beta) * q.exp()).log()
        definition = beta * kl(p, m) + (1 - beta) * kl(q, m)
        torch.testing.assert_close(beta * (1 - beta) * jsd(q, p, beta), definition.mean())


def mean_over_tokens(q, p, beta):
    """The generalized JSD in the scale of Agarwal et al. 2024 and of TRL's generalized_jsd_loss.

    TRL returns KL(p ‖ q) at β = 0 and KL(q ‖ p) at β = 1.
    """
    if beta in (0, 1):
        return kl(q, p).mean() if beta else kl(p, q).mean()
    m = (beta * p.exp() + (1 - beta) * q.exp()).log()
    return (beta * (p.exp() * (p - m)).sum(-1) + (1 - beta) * (q.exp() * (q - m)).sum(-1)).mean()


@pytest.mark.parametrize("beta", BETAS)
def test_our_jsd_is_that_of_agarwal_and_trl_divided_by_its_weights(beta):
    q, p = log_probs(0), log_probs(1)
    scale = 1 if beta in (0, 1) else beta * (1 - beta)
    torch.testing.assert_close(scale * jsd(q, p, beta), mean_over_tokens(q, p, beta))
    if beta == 0.5:
        assert scale == 1 / 4


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.7])
def test_skew_divergences_equal_their_definitions(alpha):
    q, p = log_probs(0), log_probs(1)
    for skewed, first, second in ((skew_kl, p, q), (skew_reverse_kl, q, p)):
        mixture = (alpha * first.exp() + (1 - alpha) * second.exp()).log()
        torch.testing.assert_close(skewed(q, p, alpha), kl(first, mixture).mean())
        assert skewed(p, p, alpha).abs() < 1e-6


def test_the_jsd_is_a_mean_of_both_skew_divergences():
    q, p, beta = log_probs(0), log_probs(1), 0.3
    mean = beta * skew_kl(q, p, beta) + (1 - beta) * skew_reverse_kl(q, p, 1 - beta)
    torch.testing.assert_close(beta * (1 - beta) * jsd(q, p, beta), mean)


@pytest.mark.parametrize("skewed", [skew_kl, skew_reverse_kl])
def test_skew_divergences_are_bounded_where_the_kl_is_not(skewed):
    """By -log α, with finite gradients."""
    logits = torch.tensor([[0.0, -4000.0]], requires_grad=True)
    value = skewed(logits, torch.tensor([[-math.inf, 0.0]]), 0.1)
    value.backward()
    torch.testing.assert_close(value.detach(), torch.tensor(-math.log(0.1)))
    assert logits.grad.isfinite().all()


def test_swapping_the_arguments_of_the_jsd_swaps_beta():
    q, p = log_probs(0), log_probs(1)
    torch.testing.assert_close(jsd(q, p, 0.5), jsd(p, q, 0.5))
    torch.testing.assert_close(jsd(q, p, 0.2), jsd(p, q, 0.8))
    assert (jsd(q, p, 0.2) - jsd(p, q, 0.2)).abs() > 0.01


@pytest.mark.parametrize(("beta", "limit"), [(1e-3, forward_kl), (1 - 1e-3, reverse_kl)])
def test_the_jsd_and_its_gradient_converge_to_both_kls(beta, limit):
    p, values, gradients = log_probs(1), [], []
    for divergence in (make_divergence("jsd", beta), limit):
        logits = log_probs(0).requires_grad_()
        values.append(divergence(logits, p))
        gradients.append(torch.autograd.grad(values[-1], logits)[0])
    assert abs(values[0] / values[1] - 1) < 0.01
    assert (gradients[0] - gradients[1]).norm() < 0.02 * gradients[1].norm()


def test_bounds_of_total_variation_and_jsd():
    """``jsd`` at ½ is 4 times the usual JSD, whose maximum is log 2."""
    q, p = torch.tensor([[0.0, -40.0]]), torch.tensor([[-40.0, 0.0]])  # disjoint
    torch.testing.assert_close(total_variation(q, p), torch.tensor(1.0))
    torch.testing.assert_close(jsd(q, p, 0.5) / 4, torch.tensor(math.log(2)))
    for seed in range(5):
        q, p = log_probs(seed), log_probs(seed + 5)
        assert 0 < total_variation(q, p) < 1
        assert 2 * total_variation(q, p) ** 2 <= forward_kl(q, p)  # Pinsker
        assert jsd(q, p, 0.5) / 4 <= total_variation(q, p) * math.log(2)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("name", DIVERGENCES)
def test_gradients_are_finite_where_the_oracle_has_zero_probability(name, beta):
    logits = log_probs(0).requires_grad_()
    one_hot = torch.full_like(logits, -math.inf).index_fill_(1, torch.tensor([2]), 0.0)
    make_divergence(name, beta)(logits, one_hot).backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, 2] < 0).all()  # a step increases the logit of the only allowed token


def test_invalid_arguments_are_errors():
    with pytest.raises(UserError, match="unknown divergence 'reverse'; did you mean 'reverse_kl'"):
        make_divergence("reverse", 0.5)
    with pytest.raises(UserError, match=r"beta=1.5: .* between 0 \(forward KL\) and 1"):
        make_divergence("jsd", 1.5)
