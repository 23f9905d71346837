"""Checkpoint files: round trips, and one-line errors for anything that does not fit."""

import errno

import pytest
import torch
from safetensors.torch import save_file

from agents.training.checkpoint import (
    load_optimizer,
    load_state,
    load_tensors,
    load_weights,
    optimizer_tensors,
    save_tensors,
    state_tensors,
)
from support.training import equal_tensors, equal_weights
from textgen_env.errors import UserError


def test_tensors_and_header_round_trip(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = {"a": torch.randn(3, 2), "b": torch.arange(4), "half": torch.randn(2).bfloat16()}
    save_tensors(path, tensors, {"step": 3, "names": ["p", "q"]})
    loaded, header = load_tensors(path)
    assert header == {"step": 3, "names": ["p", "q"]}
    assert equal_tensors(loaded, tensors)
    assert all(loaded[name].dtype == tensors[name].dtype for name in tensors)


def test_truncated_file_is_rejected(tmp_path):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.randn(30)}, {})
    content = path.read_bytes()
    for size in (0, 4, 8, 50, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match="truncated"):
            load_tensors(path)


def test_foreign_or_missing_file_is_rejected(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(UserError, match="not a checkpoint of this version"):
        load_tensors(tmp_path / "foreign.safetensors")
    with pytest.raises(UserError, match="no checkpoint at"):
        load_tensors(tmp_path / "missing.safetensors")


def test_weights_of_another_model_are_rejected():
    model = torch.nn.Linear(4, 2)
    with pytest.raises(UserError, match=r"weight has shape \(2, 3\), expected \(2, 4\)"):
        load_weights(model, {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, "x")
    with pytest.raises(UserError, match="bias is missing"):
        load_weights(model, {"weight": torch.zeros(2, 4)}, "x")


def test_full_disk_gives_one_line_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, {"step": 1})

    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("textgen_env.data.files.os.fsync", fail)
    with pytest.raises(UserError, match="No space left on device"):
        save_tensors(path, {"a": torch.zeros(2)}, {"step": 2})
    assert load_tensors(path)[1] == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_optimizer_round_trip_continues_bitwise():
    models = [torch.nn.Linear(3, 3) for _ in range(2)]
    first, second = (torch.optim.Adam(model.parameters(), fused=True) for model in models)
    assert all(not tensor.any() for tensor in optimizer_tensors(first).values())
    models[0](torch.randn(5, 3)).sum().backward()
    first.step()
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(first).items()}
    load_optimizer(second, saved, "x")
    assert equal_tensors(saved, optimizer_tensors(second))
    models[1].load_state_dict(models[0].state_dict())
    for model, optimizer in zip(models, (first, second), strict=True):
        model.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
    assert equal_weights(*models)


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


def test_extra_state_round_trips(tmp_path):
    saved, loaded = Counter(3), Counter(0)
    assert state_tensors(saved).keys() == {"weight", "_extra_state.count"}
    load_state(loaded, state_tensors(saved), tmp_path)
    assert (loaded.count, loaded.weight.item()) == (3, saved.weight.item())


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {**state_tensors(Counter(3)), "_extra_state.more": torch.tensor(1)},
            r"the state of Counter: _extra_state\.more is unexpected",
        ),
        (
            {"weight": torch.ones(()), "_extra_state.other": torch.tensor(1)},
            r"the state of Counter \(KeyError: 'count'\)",
        ),
    ],
)
def test_state_of_another_module_is_rejected(tmp_path, tensors, message):
    with pytest.raises(UserError, match=message):
        load_state(Counter(0), tensors, tmp_path)
