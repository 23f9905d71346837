"""Cheap dropout, the explicit attention and precision against their definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from agents.accel import fast
from agents.policies.layers import NEVER, Dropout, Linear, attention, positions
from textgen_env.errors import UserError

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])


def dropout(rate: float, seed: int = 0) -> Dropout:
    return Dropout(rate, torch.Generator().manual_seed(seed)).train()


@dtypes
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_dropout_drops_at_its_rate_independently_and_keeps_the_mean(rate: float, dtype: torch.dtype):
    drop, shape = dropout(rate), (1000, 1001)
    keep = drop.keep / 256
    assert abs(1 - keep - rate) <= 1 / 512
    numbers = drop.kept(shape, dtype, torch.device("cpu"))
    assert numbers.shape == shape
    assert not numbers.isnan().any()
    mask = (numbers > 0).double()
    error = (keep * (1 - keep) / mask.numel()) ** 0.5
    assert abs(mask.mean() - keep) < 4 * error
    for lag in (1, 2, 3, 4, 7, 8, 1001):  # neighbours in a word, and in a column
        both = mask.flatten()[lag:] * mask.flatten()[:-lag]
        assert abs(both.mean() - keep**2) < 4 * (keep**2 * (1 - keep**2) / both.numel()) ** 0.5 + 2 * error
    mean = drop(torch.ones(shape)).double().mean()
    assert abs(mean - 1) < 4 * error / keep


@dtypes
def test_dropout_of_ones_shows_its_mask_and_its_gradient_is_the_same(dtype: torch.dtype):
    drop, x = dropout(0.25), torch.ones(64, 33, dtype=dtype, requires_grad=True)
    y = drop(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert set(y.unique().tolist()) == {0.0, torch.tensor(4 / 3, dtype=dtype).item()}


@dtypes
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize("large", [1, 1 << 16], ids=["in one pass", "part by part"])
def test_dropout_after_a_layer_equals_its_parts_and_has_their_gradients(large, rate, relu, dtype, monkeypatch):
    monkeypatch.setattr(fast, "LARGE", large)
    generator = torch.Generator().manual_seed(0)
    layer, x = Linear(9, 17, generator), torch.randn(2, 25, 9, generator=generator).to(dtype)
    with torch.no_grad():
        layer.bias.copy_(torch.randn(17, generator=generator))
    weight = torch.randn(2, 25, 17, generator=generator)
    leaves = (x.requires_grad_(), layer.weight, layer.bias)
    mask = (dropout(rate).kept((2, 25, 17), dtype, x.device) > 0) * (256 / dropout(rate).keep) if rate else 1
    exact = F.linear(x.float(), layer.weight, layer.bias)
    exact = (exact.relu() if relu else exact) * mask
    found = dropout(rate).after(layer, x, relu)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.1}
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), exact, **tolerance)
    gradients = (torch.autograd.grad((each * weight).sum(), leaves) for each in (found, exact))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine.float(), theirs.float(), **tolerance)


def test_dropout_is_the_identity_in_evaluation_and_at_rate_zero():
    layer, x = Linear(7, 3, torch.Generator().manual_seed(0)), torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    for drop in (dropout(0.5).eval(), dropout(0.0)):
        assert torch.equal(drop(x), x)
        assert torch.equal(drop.after(layer, x), layer(x))
        assert torch.equal(drop.after(layer, x, relu=True), layer(x).relu())


def test_dropout_draws_from_its_generator_alone():
    x = torch.ones(1000)
    torch.manual_seed(5)
    state, drop = torch.get_rng_state(), dropout(0.5)
    first = drop(x)
    assert torch.equal(first, dropout(0.5)(x))
    assert not torch.equal(first, drop(x))
    assert not torch.equal(first, dropout(0.5, seed=1)(x))
    assert torch.equal(torch.get_rng_state(), state)


@dtypes
@pytest.mark.parametrize("with_bias", [True, False])
def test_attention_equals_torchs(dtype: torch.dtype, with_bias: bool):
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(6, n, 8, generator=generator).to(dtype).requires_grad_() for n in (5, 7, 7))
    bias = torch.zeros(6, 5, 7).masked_fill_(torch.rand(6, 5, 7, generator=generator) < 0.4, NEVER).to(dtype)
    bias = bias if with_bias else None
    weight = torch.randn(6, 5, 8, generator=generator)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.05}
    found = attention(query, key, value, bias)
    exact = F.scaled_dot_product_attention(*(t.float() for t in (query, key, value)), None if bias is None else bias.float())
    torch.testing.assert_close(found.float(), exact, **tolerance)
    gradients = (torch.autograd.grad((output * weight).sum(), (query, key, value)) for output in (found, exact))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine.float(), theirs.float(), **tolerance)


@dtypes
def test_attention_of_a_row_without_keys_is_their_mean(dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 4, 8, generator=generator).to(dtype).requires_grad_() for _ in range(3))
    found = attention(query, key, value, torch.full((2, 4, 4), NEVER, dtype=dtype))
    torch.testing.assert_close(found, value.mean(1, keepdim=True).expand_as(found), rtol=0.02, atol=0.02)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(found.sum(), (query, key, value)))


def test_attention_weights_are_dropped_without_bias_in_the_mean():
    query, key = (torch.randn(n, 8, generator=torch.Generator().manual_seed(n)).expand(2000, n, 8) for n in (3, 4))
    exact, draws = attention(query, key, key, None)[0], attention(query, key, key, None, dropout(0.3))
    assert draws.std(0).min() > 0
    assert ((draws.mean(0) - exact).abs() < 5 * draws.std(0) / len(draws) ** 0.5).all()


def test_linear_computes_in_the_precision_of_its_input():
    generator = torch.Generator().manual_seed(0)
    linear, x = Linear(8, 4, generator, blocks=3), torch.randn(5, 8, generator=generator)
    with torch.no_grad():
        linear.bias.copy_(torch.arange(12.0))
    exact = F.linear(x, linear.weight, linear.bias)
    assert torch.equal(linear(x), exact)
    low = linear(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), exact, rtol=0.02, atol=0.05)
    low.sum().backward()
    assert linear.weight.grad.dtype == torch.float32


def test_a_cast_is_kept_only_while_weights_are_at_rest():
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.SGD([weight], lr=1.0, fused=True)  # a fused step changes a weight without counting its version
    for expected in (1.0, 0.0, -1.0):
        with torch.no_grad(), fast.weights_at_rest():
            first = fast.cast(weight, torch.bfloat16)
            assert first.tolist() == [expected] * 3
            with fast.weights_at_rest():
                assert fast.cast(weight, torch.bfloat16) is first
            assert fast.cast(weight, torch.bfloat16) is first
        with torch.no_grad():
            assert fast.cast(weight, torch.bfloat16) is not first
        weight.grad = torch.ones(3)
        optimiser.step()
    with fast.weights_at_rest():
        with torch.no_grad():
            fast.cast(weight, torch.bfloat16)
        assert fast.cast(weight, torch.bfloat16).requires_grad  # a gradient is wanted: never the kept copy
    assert fast.cast(weight, torch.float32) is weight


def test_positions_of_any_length_are_a_prefix_of_longer_ones():
    long = positions(3000, 12, torch.device("cpu"))
    assert long.shape == (3000, 12)
    assert torch.equal(positions(5, 12, torch.device("cpu")), long[:5])
    assert positions(7, 5, torch.device("cpu")).shape == (7, 5)
    assert torch.cdist(long, long).add_(torch.eye(3000) * 9).min() > 1e-2  # no two positions look alike


def test_precision_follows_the_machine_and_refuses_what_it_lacks(monkeypatch: pytest.MonkeyPatch):
    for here, automatic, dtype in ((True, "bf16", torch.bfloat16), (False, "float32", torch.float32)):
        monkeypatch.setattr(fast, "has_bf16", lambda device, here=here: here)
        assert fast.resolve_precision("auto", "cpu") == automatic
        with fast.precision("auto", "cpu"):
            assert fast.compute_dtype(torch.device("cpu")) == dtype
    assert fast.compute_dtype(torch.device("cpu")) == torch.float32
    with pytest.raises(UserError, match="precision=bf16"):
        fast.resolve_precision("bf16", "cpu")
    with pytest.raises(UserError, match="did you mean 'bf16'"):
        fast.resolve_precision("bf61", "cpu")


@dtypes
def test_a_product_with_a_weight_at_rest_is_the_same_and_follows_a_frozen_weight_that_is_loaded_anew(dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.05}
    weight, bias = torch.nn.Parameter(torch.randn(7, 5, generator=generator)), torch.randn(7, generator=generator)
    x = torch.randn(3, 4, 5, generator=generator).to(dtype).transpose(0, 1)  # [4, 3, 5], not contiguous
    exact = F.linear(x.float(), weight, bias)
    with torch.no_grad(), fast.weights_at_rest():
        for offset in (None, bias):
            found = fast.linear(x, weight, offset)
            assert found.dtype == dtype
            torch.testing.assert_close(found.float() + (bias if offset is None else 0), exact.detach(), **tolerance)
        assert fast.linear(x[:0], weight).shape == (0, 3, 7)
    weight.requires_grad_(False)
    for _ in range(2):
        with torch.no_grad():
            torch.testing.assert_close(fast.linear(x, weight, bias).float(), exact.detach(), **tolerance)
            weight.mul_(2)
            exact = 2 * exact - bias
    first, second = (fast.cast(weight, torch.bfloat16) for _ in range(2))  # a gradient may be wanted of what follows
    assert first is not second
    with torch.no_grad():
        assert fast.cast(weight, torch.bfloat16) is fast.cast(weight, torch.bfloat16)
    with torch.inference_mode():  # tensors made here have no version to be told by
        assert torch.equal(fast.linear(torch.ones(1, 2), torch.ones(3, 2)), torch.full((1, 3), 2.0))
