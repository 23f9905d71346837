"""Checkpoints: what is written comes back; what is not ours, or not whole, is refused in one line."""

import errno

import pytest
import torch
from safetensors.torch import save_file

from agents.training.checkpoint import (
    load_moments,
    load_state,
    load_tensors,
    load_weights,
    moments,
    save_tensors,
    state_tensors,
)
from textgen_env.errors import UserError


def test_round_trip(tmp_path):
    tensors = {"a": torch.randn(3, 2), "b": torch.arange(4), "half": torch.randn(2).bfloat16()}
    save_tensors(tmp_path / "x.safetensors", tensors, {"step": 3, "names": ["p", "q"]})
    loaded, header = load_tensors(tmp_path / "x.safetensors")
    assert header == {"step": 3, "names": ["p", "q"]}
    assert all(
        torch.equal(loaded[name], tensors[name]) and loaded[name].dtype == tensors[name].dtype
        for name in tensors
    )


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
    with pytest.raises(
        UserError, match="No space left on device; the file that was there is intact"
    ):
        save_tensors(path, {"a": torch.zeros(2)}, {"step": 2})
    assert load_tensors(path)[1] == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_moments_round_trip():
    model, twin = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    optimizer, fresh = (
        torch.optim.Adam(module.parameters(), fused=True) for module in (model, twin)
    )
    assert all(not tensor.any() for tensor in moments(optimizer).values())  # as Adam starts
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    load_moments(fresh, {name: tensor.clone() for name, tensor in moments(optimizer).items()}, "x")
    before, after = moments(optimizer), moments(fresh)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    for module in (model, twin):
        module.load_state_dict({"weight": torch.eye(3), "bias": torch.zeros(3)})
        module(torch.ones(2, 3)).square().sum().backward()
    twin.weight.grad, twin.bias.grad = model.weight.grad.clone(), model.bias.grad.clone()
    optimizer.step()
    fresh.step()
    assert torch.equal(model.weight, twin.weight)


def test_a_state_with_an_extra_state_round_trips_and_another_is_refused(tmp_path):
    left, right = Counter(3), Counter(0)
    load_state(right, state_tensors(left), tmp_path)
    assert (right.count, right.weight.item()) == (3, left.weight.item())
    assert state_tensors(left).keys() == {"weight", "_extra_state.count"}
    with pytest.raises(
        UserError,
        match=r"holds the state of another Counter: _extra_state\.more is \(\) there, absent here",
    ):
        load_state(right, {**state_tensors(left), "_extra_state.more": torch.tensor(1)}, tmp_path)
    with pytest.raises(UserError, match=r"another Counter \(KeyError: 'count'\)"):
        load_state(
            right, {"weight": torch.ones(()), "_extra_state.other": torch.tensor(1)}, tmp_path
        )


class Counter(torch.nn.Module):
    """A buffer and an extra state."""

    def __init__(self, count):
        super().__init__()
        self.count = count
        self.register_buffer("weight", torch.tensor(count / 2))

    def get_extra_state(self):
        return {"count": torch.tensor(self.count)}

    def set_extra_state(self, state):
        self.count = state["count"].item()
