"""Checkpoints: tensors in safetensors, everything else as JSON in the file's header.

A file is written atomically and carries a checksum of its content; nothing is unpickled. Every
tensor is checked before it is loaded: a fused optimizer step trusts the shapes of its moments and
would write out of bounds.
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
from textgen_env.data.schema import parse_json
from textgen_env.errors import UserError

FORMAT = "textgen-env/3"
JSON_KEY = "<json>"  # the tensor that holds the JSON of an extra state
HEADER = {"*": object}
UNREADABLE = (SafetensorError, OSError, ValueError, RuntimeError)
ADAM_STATE = ("exp_avg", "exp_avg_sq", "step")  # per parameter


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Save ``tensors`` and a JSON-serializable ``header`` in one file, with a checksum of both."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(header)
    metadata = {"format": FORMAT, "header": text, "checksum": _checksum(contiguous, text)}
    write_atomically(path, save(contiguous, metadata))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load what ``save_tensors`` saved.

    Returns:
        The tensors by name, and the header.

    Raises:
        CorruptFileError: the file is truncated, not in safetensors format, or fails its checksum.
        UserError: the file is missing, or is not a checkpoint of this version.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    tensors, metadata = _read(path, with_tensors=True)
    header = _parse_header(path, metadata)
    if metadata.get("checksum") != _checksum(tensors, metadata["header"]):
        raise CorruptFileError(f"{path} is corrupted: its content does not match its checksum")
    return tensors, header


def load_header(path: Path) -> dict[str, Any]:
    """The header of ``load_tensors``, without the tensors and without a check of the checksum."""
    return _parse_header(path, _read(path, with_tensors=False)[1])


def _read(path: Path, with_tensors: bool) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = sorted(file.keys()) if with_tensors else []
            # Clones, as the file that they map may change.
            return {name: file.get_tensor(name).clone() for name in names}, file.metadata() or {}
    except UNREADABLE as error:
        message = f"{path} is truncated or not a safetensors file ({error})"
        raise CorruptFileError(message) from error


def _parse_header(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    if (version := metadata.get("format")) != FORMAT:
        raise UserError(
            f"{path} is not a checkpoint of this version of the project "
            f"(its format is {version or 'not named'}, expected {FORMAT})"
        )
    try:
        return parse_json(metadata.get("header", ""), HEADER, "its header")  # type: ignore[no-any-return]
    except ValueError as error:
        raise CorruptFileError(f"{path} is corrupted ({error})") from error


def load_error(path: Path) -> str:
    """The message of the error that ``load_tensors`` raises for ``path``; empty if it loads."""
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


def load_weights(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path | str) -> None:
    """Load ``tensors`` into ``module``; ``path`` is named in errors.

    Raises:
        UserError: names, shapes or dtypes differ from the module's, or a weight is NaN or infinite.
    """
    check_layout(module.state_dict(), tensors, f"{path} does not match the model")
    if name := first_nonfinite(tensors):
        raise UserError(
            f"{path}: {name} is NaN or infinite; train again with a lower train.lr or train.clip"
        )
    module.load_state_dict(tensors)


def first_nonfinite(tensors: Mapping[str, Tensor]) -> str:
    """The name of the first tensor with a NaN or infinite element; empty if all are finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return name
    return ""


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's state as ``{"optimizer.3.exp_avg": …}``; zeros for a parameter without a step yet."""
    tensors: dict[str, Tensor] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        state = optimizer.state.get(parameter) or {
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
            "step": torch.zeros(()),
        }
        tensors |= {f"optimizer.{index}.{key}": state[key].detach() for key in ADAM_STATE}
    return tensors


def load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], path: Path | str
) -> None:
    """Load what ``optimizer_tensors`` returned; ``path`` is named in errors.

    Raises:
        UserError: a tensor is missing, unexpected or not finite, or its shape or dtype differs.
    """
    check_layout(optimizer_tensors(optimizer), tensors, f"{path} does not match this training")
    if name := first_nonfinite(tensors):
        raise UserError(
            f"{path}: {name} is NaN or infinite; "
            "delete the file, then resume=true trains from the start"
        )
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        _, index, key = name.split(".", 2)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def state_tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    """``module.state_dict()`` with each extra state as tensors named ``…_extra_state.KEY``.

    Raises:
        UserError: an extra state holds a value that cannot be saved.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor):
            tensors[name] = value
            continue
        owner = type(module.get_submodule(name.removesuffix("_extra_state").removesuffix(".")))
        if owner.set_extra_state is torch.nn.Module.set_extra_state:
            raise UserError(
                f"{owner.__name__} defines get_extra_state but not set_extra_state, "
                "so it cannot be resumed"
            )
        extra = _encode_extra_state(value, owner.__name__)
        tensors |= {f"{name}.{key}": tensor for key, tensor in extra.items()}
    return tensors


def _encode_extra_state(state: Any, owner: str) -> dict[str, Tensor]:
    """A dict of tensors as it is; anything else as JSON that refers to its tensors by number."""
    is_tensor_dict = isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    )
    if is_tensor_dict and state and JSON_KEY not in state:
        return state
    tensors: dict[str, Tensor] = {}

    def encode(value: Any) -> Any:
        if isinstance(value, Tensor):
            tensors[str(len(tensors))] = value
            return {"tensor": str(len(tensors) - 1)}
        if isinstance(value, list | tuple):
            items = [encode(item) for item in value]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, dict):
            return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
        if isinstance(value, bool | int | float | str | None):
            return value
        raise UserError(
            f"{owner}.get_extra_state returns a value of type {type(value).__name__}; "
            "return tensors, numbers, strings, or lists and dicts of them"
        )

    text = json.dumps(encode(state)).encode()
    return {JSON_KEY: torch.tensor([*text], dtype=torch.uint8), **tensors}


def _decode_extra_state(tensors: dict[str, Tensor]) -> Any:
    """The inverse of ``_encode_extra_state``."""
    if JSON_KEY not in tensors:
        return tensors

    def decode(value: Any) -> Any:
        if isinstance(value, list):
            return [decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        ((kind, items),) = value.items()
        if kind == "tensor":
            return tensors[items]
        if kind == "tuple":
            return tuple(map(decode, items))
        return {decode(key): decode(item) for key, item in items}

    return decode(json.loads(bytes(tensors[JSON_KEY].tolist())))


def load_state(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load what ``state_tensors`` returned.

    Raises:
        UserError: after loading, a name, shape or dtype of the module's state differs.
    """
    mismatch = f"{path} does not match the state of {type(module).__name__}"
    state: dict[str, Any] = {}
    extras: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        owner, is_extra, key = name.partition("_extra_state.")
        if is_extra:
            extras.setdefault(f"{owner}_extra_state", {})[key] = tensor
        else:
            state[name] = tensor
    try:
        state |= {name: _decode_extra_state(extra) for name, extra in extras.items()}
        module.load_state_dict(state)
        loaded = state_tensors(module)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{mismatch} ({type(error).__name__}: {reason})") from error
    check_layout(loaded, tensors, mismatch)


def check_layout(
    expected: Mapping[str, Tensor], actual: Mapping[str, Tensor], mismatch: str
) -> None:
    """UserError unless both have the same names, shapes and dtypes."""
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            raise UserError(f"{mismatch}: {name} is missing")
        if name not in expected:
            raise UserError(f"{mismatch}: {name} is unexpected")
        shape, expected_shape = tuple(actual[name].shape), tuple(expected[name].shape)
        if shape != expected_shape:
            raise UserError(f"{mismatch}: {name} has shape {shape}, expected {expected_shape}")
        dtype, expected_dtype = actual[name].dtype, expected[name].dtype
        if dtype != expected_dtype:
            raise UserError(f"{mismatch}: {name} has dtype {dtype}, expected {expected_dtype}")
