"""The identities of ``textgen_env.types.Policy``, for every policy that the command line offers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import agents.policies
from agents.discovery import build, variants
from agents.policies.layers import positions
from agents.precision import has_bf16, precision, resolve_precision
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, PAD

V = 13
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


def tokens(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(4, V, (rows, length), generator=torch.Generator().manual_seed(seed))


def sources(lengths: list[int], width: int, seed: int = 1) -> Tensor:
    source = tokens(len(lengths), width, seed)
    for row, length in zip(source, lengths, strict=True):
        row[length - 1] = EOS
        row[length:] = PAD
    return source


def prefixes(rows: int, length: int, seed: int = 2) -> Tensor:
    prefix = tokens(rows, length, seed)
    prefix[:, 0] = BOS
    return prefix


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def decode(policy: nn.Module, state: object, prefix: Tensor) -> tuple[Tensor, object]:
    """The logits of each cached step ``[B, T, V]``, and the state after the last."""
    steps = []
    for token in prefix.unbind(1):
        logits, state = policy.step(token, state)
        steps.append(logits)
    return torch.stack(steps, 1), state


def test_a_policy_can_be_stepped_while_it_learns(policy: nn.Module):
    source, prefix = sources([3, 2], 3), prefixes(2, 4)
    stepped, _ = decode(policy, policy.start(source, 4), prefix)
    close(stepped, policy(source, prefix))


@torch.no_grad()
def test_cached_equals_uncached_over_more_steps_than_any_first_allocation(policy: nn.Module):
    source, prefix = sources([6, 3, 1], 6), prefixes(3, 70)
    close(decode(policy, policy.start(source, 70), prefix)[0], policy(source, prefix))


@torch.no_grad()
def test_batched_equals_single(policy: nn.Module):
    lengths = [5, 2, 7]
    source, prefix = sources(lengths, 7), prefixes(3, 6)
    batched = policy(source, prefix)
    for row, length in enumerate(lengths):
        close(batched[row : row + 1], policy(source[row : row + 1, :length], prefix[row : row + 1]))


@torch.no_grad()
def test_padding_of_either_side_changes_nothing(policy: nn.Module):
    source, prefix = sources([4, 3], 4), prefixes(2, 5)
    wide_source = torch.cat([source, torch.full((2, 9), PAD)], 1)
    wide_prefix = torch.cat([prefix, torch.full((2, 4), PAD)], 1)
    close(policy(wide_source, wide_prefix)[:, :5], policy(source, prefix))
    close(decode(policy, policy.start(wide_source, 5), prefix)[0], policy(source, prefix))


@torch.no_grad()
def test_the_future_of_a_prefix_is_not_seen_and_its_past_and_the_source_are(policy: nn.Module):
    source, prefix = sources([5, 4], 5), prefixes(2, 8)
    logits = policy(source, prefix)
    for time in (0, 3):
        other = prefix.clone()
        other[:, time + 1 :] = prefixes(2, 8, seed=9)[:, time + 1 :]
        changed = policy(source, other)
        close(changed[:, : time + 1], logits[:, : time + 1])
        assert (changed[:, -1] - logits[:, -1]).abs().max() > 1e-3
    assert (policy(sources([5, 4], 5, seed=8), prefix) - logits).abs().amax((1, 2)).min() > 1e-3


@torch.no_grad()
def test_mask_selects_positions_in_row_major_order(policy: nn.Module):
    source, prefix = sources([5, 4, 2], 5), prefixes(3, 6)
    mask = torch.arange(6) < torch.tensor([[6], [1], [4]])
    close(policy(source, prefix, mask), policy(source, prefix)[mask])


@pytest.mark.parametrize(
    "index", [[2, 0, 1], [1], [0, 0, 2, 2], [2, 2, 2, 0, 1], [3, 1, 0, 2], []], ids=str
)
@torch.no_grad()
def test_selected_rows_go_on_as_if_they_had_always_stood_there(policy: nn.Module, index: list[int]):
    source, prefix, rows = (
        sources([6, 3, 4, 5], 6),
        prefixes(4, 9),
        torch.tensor(index, dtype=torch.int64),
    )
    state = decode(policy, policy.start(source, 9), prefix[:, :4])[1].select(rows)
    if index:
        close(decode(policy, state, prefix[rows, 4:])[0], policy(source[rows], prefix[rows])[:, 4:])


@torch.no_grad()
def test_select_follows_beams(policy: nn.Module):
    """Three sources: three hypotheses each, reordered within a source, a source dropped, beams of unequal number."""
    source = sources([6, 3, 4], 6)
    state, owner = policy.start(source, 40), torch.arange(3)
    prefix = torch.full((3, 1), BOS)
    moves = [
        [0, 0, 0, 1, 1, 1, 2, 2, 2],
        [1, 0, 0, 5, 4, 4, 8, 6, 7],
        [6, 7, 8, 2, 1, 0],
        [5, 0, 0, 1],
        [0, 2, 2, 2, 1, 3],
    ]
    for turn, move in enumerate(moves):
        logits, state = policy.step(prefix[:, -1], state)
        close(logits, policy(source[owner], prefix)[:, -1])
        index = torch.tensor(move)
        state, owner, prefix = state.select(index), owner[index], prefix[index]
        prefix = torch.cat([prefix, tokens(len(index), 1, seed=20 + turn)], 1)
    close(policy.step(prefix[:, -1], state)[0], policy(source[owner], prefix)[:, -1])


def test_a_source_of_nothing_but_padding_is_finite_with_its_gradient(policy: nn.Module):
    logits = policy(torch.full((2, 3), PAD), prefixes(2, 4))
    logits.square().sum().backward()
    assert logits.isfinite().all()
    assert all(
        weight.grad is None or weight.grad.isfinite().all() for weight in policy.parameters()
    )


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
