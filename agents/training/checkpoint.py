"""Checkpoints: tensors in safetensors, the rest as JSON in its header.

One file, one atomic rename, a checksum over everything in it; nothing is unpickled.  What is restored is checked tensor by
tensor: a fused optimizer step trusts the shapes of its moments and would write outside their memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from textgen_env.data.files import DamagedFile, checksum, write_atomically
from textgen_env.errors import UserError

FORMAT = "textgen-env/3"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what Adam keeps for each parameter


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Save ``tensors`` and the JSON-able ``header`` in one safetensors file, with a checksum over both."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(header)
    metadata = {"format": FORMAT, "header": text, "checksum": _checksum(contiguous, text)}
    write_atomically(path, save(contiguous, metadata))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load what ``save_tensors`` saved.

    Raises:
        DamagedFile: the file is truncated, is no safetensors file, or does not match its checksum.
        UserError: there is no such file, or it is not a checkpoint of this version.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  # what is mapped may change
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFile(f"{path} is truncated or not a safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        found = metadata.get("format") or "no format mark"
        raise UserError(f"{path} is not a checkpoint of this project ({FORMAT} expected, {found} found)")
    text = metadata.get("header", "")
    if metadata.get("checksum") != _checksum(tensors, text):
        raise DamagedFile(f"{path} is damaged: its content does not match its checksum")
    return tensors, json.loads(text)


def fault(path: Path) -> str:
    """Why ``load_tensors`` refuses ``path``, in one line; empty where it does not."""
    try:
        load_tensors(path)
    except UserError as error:
        return str(error)
    return ""


def _checksum(tensors: Mapping[str, Tensor], header: str) -> str:
    def parts() -> Iterable[tuple[str, bytes | memoryview]]:
        yield "header", header.encode()
        for name in sorted(tensors):
            tensor = tensors[name]
            content = tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b""
            yield f"{name} {tensor.dtype} {list(tensor.shape)}", content

    return checksum(parts())


def load_weights(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load ``tensors`` into ``module``.

    Raises:
        UserError: a name, shape or dtype is another than the module's, or a weight is NaN or infinite; names the first.
    """
    _check_layout(module.state_dict(), tensors, f"{path} holds another model")
    if name := not_finite(tensors):
        raise UserError(f"{path}: the weights of {name} are NaN or infinite; train again with a lower train.lr or train.clip")
    module.load_state_dict(tensors)


def not_finite(tensors: Mapping[str, Tensor]) -> str:
    """The name of the first tensor that holds NaN or infinity; empty where all are finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return name
    return ""


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """``{"optimizer.3.exp_avg": …}``: what Adam keeps for every parameter; zeros, as it starts, where it took no step yet."""
    tensors: dict[str, Tensor] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        zeros = {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter), "step": torch.zeros(())}
        state = optimizer.state.get(parameter) or zeros
        tensors |= {f"optimizer.{index}.{key}": state[key].detach() for key in MOMENTS}
    return tensors


def load_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], path: Path | str) -> None:
    """Put back what ``moments`` gave.

    Raises:
        UserError: a tensor is missing or unknown, has another shape or dtype, or is not finite; names it.
    """
    _check_layout(moments(optimizer), tensors, f"{path} does not fit this training")
    if name := not_finite(tensors):
        raise UserError(f"{path}: {name} is NaN or infinite; delete the file, and resume=true trains from the start")
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        _, index, key = name.split(".", 2)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def state_tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    """``module.state_dict()``, with the tensors of an extra state, a dict, as ``…_extra_state.name``."""
    tensors: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        tensors |= {name: value} if isinstance(value, Tensor) else {f"{name}.{key}": each for key, each in value.items()}
    return tensors


def load_state(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load what ``state_tensors`` gave.

    Raises:
        UserError: they are the state of another module: a name, shape or dtype differs from what it has afterwards.
    """
    what = f"{path} holds the state of another {type(module).__name__}"
    state: dict[str, Any] = {}
    for name, tensor in tensors.items():
        owner, extra, key = name.partition("_extra_state.")
        if extra:
            state.setdefault(f"{owner}_extra_state", {})[key] = tensor
        else:
            state[name] = tensor
    try:
        module.load_state_dict(state)
        loaded = state_tensors(module)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{what} ({type(error).__name__}: {' '.join(str(error).split())[:200]})") from error
    _check_layout(loaded, tensors, what)


def _check_layout(here: Mapping[str, Tensor], there: Mapping[str, Tensor], what: str) -> None:
    """UserError unless both hold the same names with the same shapes and dtypes."""
    for name in sorted(here.keys() | there.keys()):
        own, found = ((tuple(each[name].shape) if name in each else "absent") for each in (here, there))
        if own != found:
            raise UserError(f"{what}: {name} is {found} there, {own} here")
        if here[name].dtype != there[name].dtype:
            raise UserError(f"{what}: {name} is {there[name].dtype} there, {here[name].dtype} here")
