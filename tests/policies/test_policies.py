"""The identities of ``textgen_env.types.Policy``, for every policy that the command line offers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import agents.policies
from agents.discovery import build, variants
from agents.policies.layers import positions
from agents.precision import has_bf16, precision, resolve_precision
from support.policies import V, close, decode, prefixes, sources
from support.policy_contract import *  # noqa: F403
from textgen_env.errors import UserError

SMALL = {
    "width": 16,
    "heads": 2,
    "ffn": 24,
    "hidden": 16,
    "layers": 2,
    "embedding": 16,
    "projection": 16,
}
POLICIES = variants(agents.policies)


def make(name: str, seed: int = 0, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return build(POLICIES[name], {}, vocabulary_size=V, dropout=dropout, **SMALL).eval()


@pytest.fixture(params=sorted(POLICIES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def policy(name: str) -> nn.Module:
    return make(name)


def test_every_weight_is_trained(policy: nn.Module):
    policy(sources([6, 4], 6), prefixes(2, 5)).logsumexp(-1).sum().backward()
    idle = [
        name
        for name, weight in policy.named_parameters()
        if weight.grad is None or not weight.grad.any()
    ]
    assert not [name for name in idle if "bias" not in name]


def test_the_global_generator_decides_the_weights(name: str):
    one, same, other = make(name), make(name), make(name, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(
        torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )


def test_dropout_repeats_from_a_seed(name: str):
    policy, source, prefix = make(name, dropout=0.3), sources([6, 4], 6), prefixes(2, 5)
    quiet = policy(source, prefix)
    policy.train()
    torch.manual_seed(7)
    first, second = policy(source, prefix), policy(source, prefix)
    torch.manual_seed(7)
    assert torch.equal(policy(source, prefix), first)
    assert not torch.equal(first, second)
    assert torch.equal(policy.eval()(source, prefix), quiet)


def test_a_copy_is_independent(name: str):
    policy = make(name, dropout=0.3).train()
    twin = copy.deepcopy(policy)
    source, prefix = sources([6, 4], 6), prefixes(2, 5)
    torch.manual_seed(7)
    expected = policy(source, prefix)
    torch.manual_seed(7)
    assert torch.equal(twin(source, prefix), expected)
    with torch.no_grad():
        next(iter(twin.parameters())).zero_()
    assert next(iter(policy.parameters())).any()


@pytest.fixture
def bf16(name: str) -> None:
    if name == "lstm" and not has_bf16("cpu"):
        pytest.skip("torch's LSTM emulates no bfloat16")


@pytest.mark.usefixtures("bf16")
def test_bf16_stays_close_to_float32_in_logits_and_gradient(policy: nn.Module):
    source, prefix = sources([6, 4, 5], 6), prefixes(3, 5)
    gradients, logits = [], []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits.append(policy(source, prefix).float())
        policy.zero_grad()
        logits[-1].log_softmax(-1)[..., 5].sum().backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in policy.parameters()]))
    assert not torch.equal(*logits)
    assert (logits[1] - logits[0]).norm() < 0.02 * logits[0].norm()
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


@pytest.mark.usefixtures("bf16")
@torch.no_grad()
def test_bf16_cached_stays_close_to_uncached_and_follows_the_weights(policy: nn.Module):
    source, prefix = sources([6, 4, 5], 6), prefixes(3, 5)
    for tolerance in (0.02, 0.1):
        with torch.autocast("cpu", torch.bfloat16):
            cached, _ = decode(policy, policy.start(source, 5), prefix)
        exact = policy(source, prefix)
        assert (cached.float() - exact).norm() < tolerance * exact.norm()
        for weight in policy.parameters():
            weight.mul_(1.5)


@torch.no_grad()
def test_compiled_layers_give_the_same_logits_in_any_shape():
    plain, compiled = (make("transformer").requires_grad_(False) for _ in range(2))
    for layer in (*compiled.encoder, *compiled.decoder):
        layer.compile(backend="eager", dynamic=True)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for rows, size, length in ((3, 6, 5), (2, 4, 9)):
        source, prefix = sources([size] * rows, size), prefixes(rows, length)
        close(compiled(source, prefix), plain(source, prefix))
        close(decode(compiled, compiled.start(source, length), prefix)[0], plain(source, prefix))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > before
    assert copy.deepcopy(compiled).state_dict().keys() == plain.state_dict().keys()


def test_precision_follows_the_machine_and_refuses_what_it_lacks(monkeypatch: pytest.MonkeyPatch):
    for here, automatic in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr("agents.precision.has_bf16", lambda device, here=here: here)
        assert resolve_precision("auto", "cpu") == automatic
        with precision("auto", "cpu"):
            assert torch.is_autocast_enabled("cpu") == here
    with pytest.raises(UserError, match="precision=bf16"):
        resolve_precision("bf16", "cpu")
    with pytest.raises(UserError, match="did you mean 'bf16'"):
        resolve_precision("bf61", "cpu")


def test_positions_of_any_length_are_a_prefix_of_longer_ones():
    long = positions(3000, 12, torch.device("cpu"))
    assert long.shape == (3000, 12)
    close(positions(5, 12, torch.device("cpu")), long[:5])
    assert positions(7, 5, torch.device("cpu")).shape == (7, 5)
    assert (
        torch.cdist(long, long).add_(torch.eye(3000) * 9).min() > 1e-2
    )  # no two positions look alike
