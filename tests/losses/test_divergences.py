"""The divergences: where they vanish, how they are bounded, and what JSD becomes at its ends."""

from __future__ import annotations

import math

import pytest
import torch

from agents.losses.divergences import (
    DIVERGENCES,
    forward_kl,
    jsd,
    make_divergence,
    reverse_kl,
    total_variation,
)
from agents.losses.sequence import cross_entropy
from textgen_env.errors import UserError

BETAS = (0.0, 0.1, 0.5, 0.9, 1.0)


def distributions(seed: int, rows: int = 6, vocabulary: int = 7) -> torch.Tensor:
    """Log-probabilities ``[rows, vocabulary]``; as logits they are themselves."""
    return (
        torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed))
        .mul(2)
        .log_softmax(-1)
    )


def kl(p, q):
    return torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=p), torch.distributions.Categorical(logits=q)
    )


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("name", DIVERGENCES)
def test_it_is_zero_with_itself_without_a_gradient_and_positive_otherwise(name, beta):
    measure, p = make_divergence(name, beta), distributions(0)
    logits = (p + 3).requires_grad_()
    value = measure(logits, p)
    value.backward()
    torch.testing.assert_close(value, torch.zeros(()), atol=1e-6, rtol=0)
    if name != "total_variation":  # whose gradient jumps there
        assert logits.grad.abs().max() < 1e-6
    assert measure(distributions(1), p) > 0.05


def test_they_are_what_they_are_called():
    q, p = distributions(0), distributions(1)
    torch.testing.assert_close(forward_kl(q, p), kl(p, q).mean())
    torch.testing.assert_close(reverse_kl(q, p), kl(q, p).mean())
    torch.testing.assert_close(
        forward_kl(q, p),
        cross_entropy(q, p) - torch.distributions.Categorical(logits=p).entropy().mean(),
    )
    for beta in (0.1, 0.5, 0.9):
        m = (beta * p.exp() + (1 - beta) * q.exp()).log()
        definition = beta * kl(p, m) + (1 - beta) * kl(q, m)
        torch.testing.assert_close(beta * (1 - beta) * jsd(q, p, beta), definition.mean())


def test_jsd_is_symmetric_at_one_half_and_mirrored_elsewhere():
    q, p = distributions(0), distributions(1)
    torch.testing.assert_close(jsd(q, p, 0.5), jsd(p, q, 0.5))
    torch.testing.assert_close(jsd(q, p, 0.2), jsd(p, q, 0.8))
    assert (jsd(q, p, 0.2) - jsd(p, q, 0.2)).abs() > 0.01


def test_jsd_goes_over_into_both_kl_and_so_does_its_gradient():
    p = distributions(1)
    for beta, limit in ((1e-3, forward_kl), (1 - 1e-3, reverse_kl)):
        values, gradients = [], []
        for measure in (lambda q, p, beta=beta: jsd(q, p, beta), limit):
            logits = distributions(0).requires_grad_()
            values.append(measure(logits, p))
            gradients.append(torch.autograd.grad(values[-1], logits)[0])
        assert abs(values[0] / values[1] - 1) < 0.01
        assert (gradients[0] - gradients[1]).norm() < 0.02 * gradients[1].norm()


def test_bounds():
    here, there = (
        torch.tensor([[0.0, -40.0]]),
        torch.tensor([[-40.0, 0.0]]),
    )  # as far apart as can be
    torch.testing.assert_close(total_variation(here, there), torch.tensor(1.0))
    torch.testing.assert_close(jsd(here, there, 0.5) / 4, torch.tensor(math.log(2)))
    for seed in range(5):
        q, p = distributions(seed), distributions(seed + 5)
        assert 0 < total_variation(q, p) < 1
        assert 2 * total_variation(q, p) ** 2 <= forward_kl(q, p)  # Pinsker
        assert jsd(q, p, 0.5) / 4 <= total_variation(q, p) * math.log(2)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("name", DIVERGENCES)
def test_what_the_oracle_rules_out_does_not_make_a_nan(name, beta):
    logits = distributions(0).requires_grad_()
    certain = torch.full_like(logits, -math.inf).index_fill_(1, torch.tensor([2]), 0.0)
    make_divergence(name, beta)(logits, certain).backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, 2] < 0).all()  # the one token that is left gets more


def test_mistakes_are_one_clear_line():
    with pytest.raises(UserError, match="unknown divergence 'reverse'; did you mean 'reverse_kl'"):
        make_divergence("reverse", 0.5)
    with pytest.raises(
        UserError, match=r"beta=1.5: .* between 0 \(forward KL\) and 1 \(reverse KL\)"
    ):
        make_divergence("jsd", 1.5)
