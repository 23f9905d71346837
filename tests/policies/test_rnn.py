"""Recurrent policies: their sizes, SRU against its equations, GRU and LSTM against torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import agents.policies
from agents.discovery import POLICY, help_lines, settings, variants
from agents.policies.cells import CELLS, HIGHWAY, Layer, SRUCell, reversal_index, reverse
from agents.policies.rnn import NAMES, RNNPolicy
from agents.precision import has_bf16
from agents.training.checkpoint import load_tensors, load_weights, save_tensors
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, PAD

V = 20
PLAIN = {"encoder_width": 12, "width": 24, "embedding": 16}  # no bridge to the decoder
BRIDGED = {
    **{"encoder_layers": 3, "encoder_width": 10, "width": 24, "embedding": 16},
    **{"projection": 8, "layer_norm": True, "share_source_embedding": True},
}
LIFTED = {"decoder_layers": 3, **PLAIN}
each_cell = pytest.mark.parametrize("cell", NAMES)
all_sizes = pytest.mark.parametrize(
    "sizes", [PLAIN, BRIDGED, LIFTED], ids=["plain", "bridged", "lifted"]
)


def make(cell: str, sizes: dict = PLAIN, seed: int = 0, **more: object) -> RNNPolicy:
    torch.manual_seed(seed)
    return RNNPolicy(V, cell, **{**sizes, **more}).eval()


def sentences(seed: int = 1) -> tuple[Tensor, Tensor, list[int]]:
    """Sources ``[4, 7]`` of lengths 7, 4, 1, 6 and prefixes ``[4, 5]``."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [7, 4, 1, 6]
    source = torch.randint(4, V, (4, 7), generator=generator)
    for row, length in zip(source, lengths, strict=True):
        row[length - 1], row[length:] = EOS, PAD
    prefix = torch.randint(4, V, (4, 5), generator=generator)
    prefix[:, 0] = BOS
    return source, prefix, lengths


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@each_cell
@all_sizes
@torch.no_grad()
def test_cached_equals_uncached(cell, sizes):
    source, prefix, _ = sentences()
    model = make(cell, sizes)
    state, steps = model.start(source, prefix.shape[1]), []
    for token in prefix.unbind(1):
        logits, state = model.step(token, state)
        steps.append(logits)
    close(torch.stack(steps, 1), model(source, prefix))


@each_cell
@all_sizes
@torch.no_grad()
def test_batched_and_padded_equal_single_and_unpadded(cell, sizes):
    source, prefix, lengths = sentences()
    model = make(cell, sizes)
    batched = model(source, prefix)
    for row, length in enumerate(lengths):
        close(model(source[row : row + 1, :length], prefix[row : row + 1]), batched[row : row + 1])
    close(model(F.pad(source, (0, 3), value=PAD), prefix), batched)


@each_cell
@torch.no_grad()
def test_the_order_of_the_source_matters(cell):
    source, prefix, _ = sentences()
    model, swapped = make(cell), source.clone()
    swapped[0, [0, 1]] = source[0, [1, 0]]
    assert (model(source, prefix)[0] - model(swapped, prefix)[0]).abs().max() > 1e-4


@each_cell
@torch.no_grad()
def test_a_decoder_layer_starts_from_the_final_outputs_of_its_encoder_layer(cell):
    source, _, lengths = sentences()
    for layers, top in ((2, 1), (3, 2), (1, 0)):
        model = make(cell, PLAIN, decoder_layers=layers)
        (keys, *_), starts = model.encode(source)  # no bridge: the keys are the top layer's outputs
        for row, length in enumerate(lengths):
            close(starts[top][row], torch.cat([keys[row, length - 1, :12], keys[row, 0, 12:]]))
        assert all((start - starts[top]).abs().max() > 0.01 for start in starts[:top])


@each_cell
@all_sizes
def test_every_parameter_gets_a_gradient(cell, sizes):
    source, prefix, _ = sentences()
    model = make(cell, sizes).train()
    model(source, prefix).logsumexp(-1).sum().backward()
    assert not [
        name
        for name, weight in model.named_parameters()
        if weight.grad is None or not weight.grad.any()
    ]


@each_cell
@torch.no_grad()
def test_reordering_hypotheses_copies_no_encoded_sources(cell):
    source, prefix, _ = sentences()
    model = make(cell)
    beams = model.start(source, 5).select(torch.arange(4).repeat_interleave(3))
    reordered = beams.select(torch.tensor([2, 2, 0, 3, 4, 5, 8, 6, 7, 11, 11, 11]))
    assert reordered.memory is beams.memory
    fewer = reordered.select(torch.tensor([3, 4, 5, 0, 1, 2]))
    assert fewer.memory is not beams.memory
    close(
        model.step(prefix[:, 0].repeat(2)[:6], fewer)[0],
        model(source, prefix[:, :1])[[1, 1, 1, 0, 0, 0], 0],
    )


@each_cell
@torch.no_grad()
def test_hidden_states_stay_float32_under_bf16(cell):
    source, prefix, _ = sentences()
    model = make(cell)
    if cell == "lstm" and not has_bf16("cpu"):
        pytest.skip("torch cannot emulate bfloat16 in LSTM")
    with torch.autocast("cpu", torch.bfloat16):
        logits, state = model.step(prefix[:, 0], model.start(source, 5))
    assert logits.dtype == torch.bfloat16
    assert {tensor.dtype for layer in state.hidden for tensor in layer} == {torch.float32}


@each_cell
def test_learns_to_reverse(cell):
    generator, steps = torch.Generator().manual_seed(3), 200
    sizes = {"encoder_width": 32, "width": 64, "embedding": 32}
    model = make(cell, sizes, encoder_layers=1, decoder_layers=1)
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(steps):
        source = torch.randint(4, 12, (64, 4), generator=generator)
        target = source.flip(1)
        logits = model(source, F.pad(target[:, :-1], (1, 0), value=BOS))
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), target.flatten()).backward()
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / steps)
        optimizer.step()
    assert (logits.argmax(-1) == target).float().mean() >= 0.99


def test_reversal_index_reverses_rows_within_their_length():
    x = torch.arange(12).view(4, 3)  # [T, B]
    reversal = reversal_index(torch.tensor([4, 2, 0]), 4)
    reversed_x = reverse(x, reversal)
    assert reversed_x.t().tolist() == [[9, 6, 3, 0], [4, 1, 7, 10], [2, 5, 8, 11]]
    assert torch.equal(reverse(reversed_x, reversal), x)


@pytest.mark.parametrize("cell", [nn.GRU, nn.LSTM])
@torch.no_grad()
def test_gru_and_lstm_equal_torch_with_packed_sequences(cell):
    layer = Layer(CELLS[cell.__name__.lower()], 5, 6, directions=2, projection=0, layer_norm=False)
    twin = cell(5, 6, bidirectional=True)
    for name, weight in twin.named_parameters():
        weight.copy_(
            layer.cells[int(name.endswith("_reverse"))].get_parameter(name.removesuffix("_reverse"))
        )
    x, length = (
        torch.randn(7, 4, 5, generator=torch.Generator().manual_seed(1)),
        torch.tensor([7, 5, 2, 1]),
    )
    expected, _ = pad_packed_sequence(twin(pack_padded_sequence(x, length))[0])
    real = torch.arange(7)[:, None] < length  # [T, B]
    close(layer(x, reversal=reversal_index(length, 7))[real], expected[real])


@pytest.mark.parametrize("inputs", [6, 5], ids=["identity highway", "learned highway"])
@torch.no_grad()
def test_sru_equals_its_equations(inputs):
    layer = SRUCell(inputs, 6)
    nn.init.uniform_(layer.bias, -1, 1)
    x, cell = (
        torch.randn(4, 3, inputs, generator=torch.Generator().manual_seed(2)),
        torch.full((3, 6), 0.5),
    )
    matrix = layer.matrices.weight.split(6)
    expected = []
    for x_t in x:
        forget = (x_t @ matrix[1].t() + layer.peephole[0] * cell + layer.bias[0]).sigmoid()
        reset = (x_t @ matrix[2].t() + layer.peephole[1] * cell + layer.bias[1]).sigmoid()
        cell = forget * cell + (1 - forget) * (x_t @ matrix[0].t())
        highway = HIGHWAY * x_t if inputs == 6 else x_t @ matrix[3].t()
        expected.append(reset * cell + (1 - reset) * highway)
    close(layer(x, torch.full((3, 6), 0.5)), torch.stack(expected))


@each_cell
def test_a_checkpoint_restores_a_policy_with_a_shared_embedding(cell, tmp_path):
    source, prefix, _ = sentences()
    model, other = make(cell, BRIDGED), make(cell, BRIDGED, seed=1)
    save_tensors(tmp_path / "policy.safetensors", model.state_dict(), {})
    load_weights(other, load_tensors(tmp_path / "policy.safetensors")[0], tmp_path)
    assert torch.equal(other(source, prefix), model(source, prefix))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cell": "gruu"}, "did you mean 'gru'"),
        ({"decoder_layers": 0}, "decoder_layers=0"),
        ({"projection": -1}, "projection=-1"),
        ({"dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_errors_name_the_setting(wrong, message):
    with pytest.raises(UserError, match=message):
        RNNPolicy(V, **wrong)


def test_every_setting_has_help():
    known = variants(agents.policies)
    assert known.keys() >= {"gru", "lstm", "sru"}
    for name in NAMES:
        assert settings(known[name], POLICY)["cell"] == name
        assert settings(known[name], POLICY).keys() <= help_lines(known[name]).keys()
