"""The identities of ``textgen_env.types.Policy``, for every policy of the command line."""

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

SMALL = {  # each policy uses those that it knows
    **{"width": 16, "heads": 2, "ffn": 24, "layers": 2},
    **{"embedding": 16, "projection": 16},
}
POLICIES = variants(agents.policies)
del POLICIES["hf"]  # needs a model folder; see test_huggingface.py


def make(name: str, seed: int = 0, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return build(POLICIES[name], {}, vocabulary_size=V, dropout=dropout, **SMALL).eval()


@pytest.fixture(params=sorted(POLICIES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def policy(name: str) -> nn.Module:
    return make(name)


def test_every_weight_gets_a_gradient(policy: nn.Module):
    policy(sources([6, 4], 6), prefixes(2, 5)).logsumexp(-1).sum().backward()
    assert not [
        name
        for name, weight in policy.named_parameters()
        if "bias" not in name and (weight.grad is None or not weight.grad.any())
    ]


def test_initial_weights_depend_on_the_global_generator(name: str):
    def equal(seed: int) -> bool:
        pairs = zip(make(name).parameters(), make(name, seed).parameters(), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    assert equal(seed=0)
    assert not equal(seed=1)


def test_dropout_depends_on_the_global_generator(name: str):
    policy, source, prefix = make(name, dropout=0.3), sources([6, 4], 6), prefixes(2, 5)
    without_dropout = policy(source, prefix)
    policy.train()
    torch.manual_seed(7)
    first, second = policy(source, prefix), policy(source, prefix)
    torch.manual_seed(7)
    assert torch.equal(policy(source, prefix), first)
    assert not torch.equal(first, second)
    assert torch.equal(policy.eval()(source, prefix), without_dropout)


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
        pytest.skip("torch cannot emulate bfloat16 in LSTM")


@pytest.mark.usefixtures("bf16")
def test_bf16_logits_and_gradients_are_close_to_float32(policy: nn.Module):
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
def test_bf16_cached_is_close_to_uncached_and_uses_the_current_weights(policy: nn.Module):
    source, prefix = sources([6, 4, 5], 6), prefixes(3, 5)
    for tolerance in (0.02, 0.1):
        with torch.autocast("cpu", torch.bfloat16):
            cached, _ = decode(policy, policy.start(source, 5), prefix)
        exact = policy(source, prefix)
        assert (cached.float() - exact).norm() < tolerance * exact.norm()
        for weight in policy.parameters():
            weight.mul_(1.5)


@torch.no_grad()
@pytest.mark.slow
def test_compiled_layers_give_the_same_logits_for_every_shape():
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


def test_precision_depends_on_the_hardware(monkeypatch: pytest.MonkeyPatch):
    for supported, automatic in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr("agents.precision.has_bf16", lambda _, value=supported: value)
        assert resolve_precision("auto", "cpu") == automatic
        with precision("auto", "cpu"):
            assert torch.is_autocast_enabled("cpu") == supported
    with pytest.raises(UserError, match="precision=bf16"):
        resolve_precision("bf16", "cpu")
    with pytest.raises(UserError, match="did you mean 'bf16'"):
        resolve_precision("bf61", "cpu")


def test_positional_encodings_are_distinct_and_independent_of_the_length():
    long = positions(3000, 12, torch.device("cpu"))
    assert long.shape == (3000, 12)
    close(positions(5, 12, torch.device("cpu")), long[:5])
    assert positions(7, 5, torch.device("cpu")).shape == (7, 5)
    distance = torch.cdist(long, long).fill_diagonal_(torch.inf)
    assert distance.min() > 1e-2
