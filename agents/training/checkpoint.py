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

from textgen_env.data.files import CorruptFileError, checksum, write_atomically
from textgen_env.errors import UserError

FORMAT = "textgen-env/3"
PLAIN = "<json>"  # what an extra state holds beside tensors
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
        CorruptFileError: the file is truncated, is no safetensors file, or does not match its checksum.
        UserError: there is no such file, or it is not a checkpoint of this version.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {
                name: file.get_tensor(name).clone() for name in file.keys()
            }  # what is mapped may change  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptFileError(
            f"{path} is truncated or not a safetensors file ({error})"
        ) from error
    if metadata.get("format") != FORMAT:
        found = metadata.get("format") or "no format mark"
        raise UserError(
            f"{path} is not a checkpoint of this project ({FORMAT} expected, {found} found)"
        )
    text = metadata.get("header", "")
    if metadata.get("checksum") != _checksum(tensors, text):
        raise CorruptFileError(f"{path} is damaged: its content does not match its checksum")
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
        raise UserError(
            f"{path}: the weights of {name} are NaN or infinite; train again with a lower train.lr or train.clip"
        )
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
        zeros = {
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
            "step": torch.zeros(()),
        }
        state = optimizer.state.get(parameter) or zeros
        tensors |= {f"optimizer.{index}.{key}": state[key].detach() for key in MOMENTS}
    return tensors


def load_moments(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], path: Path | str
) -> None:
    """Put back what ``moments`` gave.

    Raises:
        UserError: a tensor is missing or unknown, has another shape or dtype, or is not finite; names it.
    """
    _check_layout(moments(optimizer), tensors, f"{path} does not fit this training")
    if name := not_finite(tensors):
        raise UserError(
            f"{path}: {name} is NaN or infinite; delete the file, and resume=true trains from the start"
        )
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        _, index, key = name.split(".", 2)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def state_tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    """``module.state_dict()`` as tensors alone; what is in an extra state is ``…_extra_state.name``.

    Raises:
        UserError: an extra state holds what cannot be saved.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor):
            tensors[name] = value
        else:
            owner = module.get_submodule(name.removesuffix("_extra_state").removesuffix("."))
            if type(owner).set_extra_state is torch.nn.Module.set_extra_state:
                raise UserError(
                    f"{type(owner).__name__} has get_extra_state without set_extra_state: it could not be resumed"
                )
            tensors |= {
                f"{name}.{key}": tensor
                for key, tensor in _packed(value, type(owner).__name__).items()
            }
    return tensors


def _packed(state: Any, owner: str) -> dict[str, Tensor]:
    """An extra state as tensors: a dict of them as it is, all else as JSON with its tensors numbered."""
    named = isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(state[key], Tensor) for key in state
    )
    if named and state and PLAIN not in state:
        return state
    tensors: dict[str, Tensor] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            tensors[str(len(tensors))] = value
            return {"tensor": str(len(tensors) - 1)}
        if isinstance(value, list | tuple):
            items = [plain(item) for item in value]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, dict):
            return {"dict": [[plain(key), plain(item)] for key, item in value.items()]}
        if isinstance(value, bool | int | float | str | None):
            return value
        kind = type(value).__name__
        raise UserError(
            f"{owner}.get_extra_state gives a {kind}; return tensors, numbers, texts or lists and dicts of them"
        )

    text = json.dumps(plain(state)).encode()
    return {PLAIN: torch.tensor([*text], dtype=torch.uint8), **tensors}


def _unpacked(tensors: dict[str, Tensor]) -> Any:
    """The extra state that ``_packed`` was given."""
    if PLAIN not in tensors:
        return tensors

    def value(plain: Any) -> Any:
        if isinstance(plain, list):
            return [value(item) for item in plain]
        if not isinstance(plain, dict):
            return plain
        ((kind, items),) = plain.items()
        if kind == "tensor":
            return tensors[items]
        return (
            tuple(map(value, items))
            if kind == "tuple"
            else {value(key): value(item) for key, item in items}
        )

    return value(json.loads(bytes(tensors[PLAIN].tolist())))


def load_state(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load what ``state_tensors`` gave.

    Raises:
        UserError: they are the state of another module: a name, shape or dtype differs from what it has afterwards.
    """
    what = f"{path} holds the state of another {type(module).__name__}"
    state: dict[str, Any] = {}
    extras: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        owner, extra, key = name.partition("_extra_state.")
        if extra:
            extras.setdefault(f"{owner}_extra_state", {})[key] = tensor
        else:
            state[name] = tensor
    try:
        module.load_state_dict(state | {name: _unpacked(parts) for name, parts in extras.items()})
        loaded = state_tensors(module)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{what} ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
    _check_layout(loaded, tensors, what)


def _check_layout(here: Mapping[str, Tensor], there: Mapping[str, Tensor], what: str) -> None:
    """UserError unless both hold the same names with the same shapes and dtypes."""
    for name in sorted(here.keys() | there.keys()):
        own, found = (
            (tuple(each[name].shape) if name in each else "absent") for each in (here, there)
        )
        if own != found:
            raise UserError(f"{what}: {name} is {found} there, {own} here")
        if here[name].dtype != there[name].dtype:
            raise UserError(f"{what}: {name} is {there[name].dtype} there, {here[name].dtype} here")
