"""Precision of the computation: float32, or bfloat16 through torch.autocast."""

from __future__ import annotations

import torch

from textgen_env.errors import UserError, unknown

PRECISIONS = ("auto", "bf16", "float32")


def has_bf16(device: torch.device | str) -> bool:
    """Whether ``device`` has bfloat16 matmuls in hardware; emulation is slower than float32."""
    kind = torch.device(device).type
    if kind == "cpu":
        names = ("avx512_bf16", "amx_bf16", "sve_bf16")
        return any(torch.cpu.get_capabilities().get(name, False) for name in names)
    return kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def resolve_precision(name: str, device: torch.device | str) -> str:
    """Resolve ``auto`` to the precision that suits the device.

    Args:
        name: auto, bf16 or float32.
        device: A torch device.

    Returns:
        "bf16" or "float32".

    Raises:
        UserError: The name is unknown, or the device has no bfloat16 arithmetic.
    """
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)
    if name == "bf16" and not has_bf16(device):
        raise UserError(
            f"precision=bf16: this {device} device has no bfloat16 arithmetic; "
            "use precision=float32 or auto"
        )
    return name if name != "auto" else "bf16" if has_bf16(device) else "float32"


def resolve_device(name: str) -> str:
    """The torch device ``name``; ``auto`` is a GPU if there is one, otherwise the CPU.

    Raises:
        UserError: the device is not available.
    """
    device = name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device={device} is not available here: {reason}") from error
    return device


def precision(name: str, device: torch.device | str) -> torch.autocast:
    """A context manager in which modules compute in that precision."""
    bf16 = resolve_precision(name, device) == "bf16"
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16)
