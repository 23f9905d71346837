"""Checkpoints: tensors in safetensors, the rest as JSON in its header.  One file, one atomic rename; nothing is unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from textgen_env.errors import UserError
from textgen_env.files import write_atomically

FORMAT = "textgen-env/1"


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """``tensors`` and the JSON-able ``header`` in one safetensors file."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(contiguous, {"format": FORMAT, "header": json.dumps(header)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``save_tensors`` wrote.  A missing, truncated or foreign file is a UserError."""
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                found = metadata.get("format") or "no format mark"
                raise UserError(f"{path} is not a checkpoint of this project ({FORMAT} expected, {found} found)")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata["header"])  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is truncated or not a safetensors file ({error}); delete it or restore a copy") from error


def load_weights(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load ``tensors`` into ``module``; other names or shapes are a UserError that names the first."""
    own = module.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        here, there = (tuple(t[name].shape) if name in t else None for t in (own, tensors))
        if here != there:
            raise UserError(f"{path} holds another model: {name} is {there or 'absent'} there, {here or 'absent'} here")
    module.load_state_dict(tensors)


def pack(optimiser: torch.optim.Optimizer, generators: dict[str, torch.Generator]) -> dict[str, Tensor]:
    """The optimiser's moments and the generators' states as named tensors."""
    tensors = {f"generator.{name}": generator.get_state() for name, generator in generators.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    return tensors


def unpack(tensors: dict[str, Tensor], optimiser: torch.optim.Optimizer, generators: dict[str, torch.Generator]) -> None:
    """Put back what ``pack`` took."""
    for name, generator in generators.items():
        generator.set_state(tensors[f"generator.{name}"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
