"""Checkpoints: what is written comes back; what is not ours, or not whole, is refused in one line."""

import errno

import pytest
import torch
from safetensors.torch import save_file

from agents.training.checkpoint import load_tensors, load_weights, pack, save_tensors, unpack
from textgen_env.errors import UserError


def test_round_trip(tmp_path):
    tensors = {"a": torch.randn(3, 2), "b": torch.arange(4), "half": torch.randn(2).bfloat16()}
    save_tensors(tmp_path / "x.safetensors", tensors, {"step": 3, "names": ["p", "q"]})
    loaded, header = load_tensors(tmp_path / "x.safetensors")
    assert header == {"step": 3, "names": ["p", "q"]}
    assert all(torch.equal(loaded[name], tensors[name]) and loaded[name].dtype == tensors[name].dtype for name in tensors)


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.randn(30)}, {})
    whole = path.read_bytes()
    for size in (0, 4, 8, 50, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="truncated"):
            load_tensors(path)


def test_a_foreign_file_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(UserError, match="not a checkpoint of this project"):
        load_tensors(tmp_path / "foreign.safetensors")
    with pytest.raises(UserError, match="no checkpoint at"):
        load_tensors(tmp_path / "absent.safetensors")


def test_weights_of_another_model_are_refused():
    with pytest.raises(UserError, match=r"weight is \(2, 3\) there, \(2, 4\) here"):
        load_weights(torch.nn.Linear(4, 2, bias=False), {"weight": torch.zeros(2, 3)}, "x")
    with pytest.raises(UserError, match=r"bias is absent there"):
        load_weights(torch.nn.Linear(4, 2), {"weight": torch.zeros(2, 4)}, "x")


def test_a_full_disk_is_one_line_and_the_file_before_survives(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, {"step": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("textgen_env.data.files.os.fsync", full)
    with pytest.raises(UserError, match="No space left on device; the file that was there is intact"):
        save_tensors(path, {"a": torch.zeros(2)}, {"step": 2})
    assert load_tensors(path)[1] == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_optimiser_and_generators_round_trip():
    model = torch.nn.Linear(3, 3)
    optimiser = torch.optim.Adam(model.parameters(), fused=True)
    model(torch.randn(5, 3)).sum().backward()
    optimiser.step()
    generator = torch.Generator().manual_seed(7)
    torch.rand(3, generator=generator)
    packed = {name: tensor.clone() for name, tensor in pack(optimiser, {"g": generator}).items()}
    expected = torch.rand(4, generator=generator)

    twin = torch.nn.Linear(3, 3)
    fresh, other = torch.optim.Adam(twin.parameters(), fused=True), torch.Generator()
    unpack(packed, fresh, {"g": other})
    assert torch.equal(torch.rand(4, generator=other), expected)
    before, after = optimiser.state_dict()["state"], fresh.state_dict()["state"]
    assert before.keys() == after.keys()
    assert all(torch.equal(before[i][name], after[i][name]) for i in before for name in before[i])
