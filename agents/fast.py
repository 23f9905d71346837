"""What makes torch fast on a processor: memory that is kept and bounded, bfloat16 where it is real, weights cast once a step.

Nothing here acts on import.
"""

from __future__ import annotations

import ctypes
import os
import platform
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from itertools import count
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from textgen_env.errors import UserError, unknown

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # <malloc.h>
KEEP, PAD = 512 << 20, 64 << 20  # bytes of free memory kept at the heap's end, and by how much it grows at a time
SMALL = 1 << 18  # numbers in a matrix by which one row is multiplied as it is
KERNELS = 128  # compiled matrix products kept, one a shape; oneDNN's own default of 1,024 comes to gigabytes
PRECISIONS = ("auto", "bf16", "float32")


def tune_allocator() -> bool:
    """Keep freed tensors for the next step, and bound what is kept; True where the allocator (glibc's) can be told to.

    glibc returns every large tensor to the kernel, whose page faults then cost more than an element-wise operation itself.
    Blocks of ``KEEP`` bytes and more still come and go one by one, and no more than ``KEEP`` free bytes stay at the end of the
    heap.  With ever-changing shapes oneDNN's cache of compiled products grows too, so that is bounded as well.
    For scripts, before their first product: it concerns the whole process, and those it starts.
    """
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):  # oneDNN's, and torch's above it
        os.environ.setdefault(cache, str(KERNELS))
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    options = ((M_MMAP_THRESHOLD, KEEP), (M_TRIM_THRESHOLD, KEEP), (M_TOP_PAD, PAD))
    return all(libc.mallopt(option, value) == 1 for option, value in options)


def give_back() -> None:
    """Return freed memory to the kernel, where the allocator (glibc's) can be told to."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def has_bf16(device: torch.device | str) -> bool:
    """Whether ``device`` multiplies bfloat16 matrices in hardware; emulated bfloat16 is slower than float32."""
    kind = torch.device(device).type
    if kind == "cpu":
        return any(torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))
    return kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def resolve_precision(name: str, device: torch.device | str) -> str:
    """``"auto"`` → ``"bf16"`` where the device really has it, else ``"float32"``; to ask for what is not there is an error."""
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)
    if name == "bf16" and not has_bf16(device):
        raise UserError(f"precision=bf16: this {device} device has no bfloat16 arithmetic; use precision=float32 or auto")
    return name if name != "auto" else "bf16" if has_bf16(device) else "float32"


def precision(name: str, device: torch.device | str) -> AbstractContextManager[None]:
    """``with precision(name, device):`` policies compute in that precision (torch.autocast: any module follows it)."""
    bf16 = resolve_precision(name, device) == "bf16"
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16)


def compute_dtype(device: torch.device) -> torch.dtype:
    """The dtype that the surrounding ``precision`` asks for."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32


class _Copies:
    """Copies of weights, each as long as its weight lives; ``block``: which block of rest they belong to."""

    blocks = count()

    def __init__(self) -> None:
        self.block = next(self.blocks)
        self.of: dict[int, tuple[weakref.ref[Tensor], dict[Any, tuple[Any, Tensor]]]] = {}

    def made(self, weight: Tensor) -> dict[Any, tuple[Any, Tensor]]:
        """Those of ``weight``: of each kind the state it was made in, and the copy."""
        key = id(weight)
        found = self.of.get(key)
        if found is None or found[0]() is not weight:
            found = self.of[key] = weakref.ref(weight, lambda _: self.of.pop(key, None)), {}
        return found[1]


_copies: ContextVar[_Copies | None] = ContextVar("copies", default=None)
_frozen = _Copies()  # those of weights that no gradient will change


@contextmanager
def weights_at_rest() -> Iterator[None]:
    """While no weight changes and no gradient is wanted, copies of weights are kept: a decode casts once, not once a token.

    The promise is the caller's and ends with the block; that a weight has changed cannot be seen from it (fused optimisers
    do not count versions).  Weights that require no gradient, a teacher's, are always at rest: change them in place, by
    ``copy_`` or ``load_state_dict``, and never through ``.data``.
    """
    if _copies.get() is not None:
        yield
        return
    token = _copies.set(copies := _Copies())
    try:
        yield
    finally:
        _copies.reset(token)
        copies.of.clear()


def uncast(device: torch.device) -> AbstractContextManager[Any]:
    """On a processor products have the dtype of what they are given here, whatever the precision; elsewhere nothing changes."""
    return torch.autocast("cpu", enabled=False) if device.type == "cpu" else nullcontext()


def resting() -> int | None:
    """Which block of rest this is, if any: as long as it is the same, no weight has changed."""
    copies = _copies.get()
    return None if copies is None else copies.block


def forget(frozen: bool) -> None:
    """Drop this block's copies of weights, or those of the frozen."""
    copies = _frozen if frozen else _copies.get()
    if copies is not None:
        copies.of.clear()


def cast(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """``parameter`` in ``dtype``; kept while it is at rest."""
    if parameter.dtype == dtype:
        return parameter
    return _kept(parameter, dtype, packed=False) if _rests(parameter) else parameter.to(dtype)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` in the precision of ``x``.

    A weight at rest is laid out once as oneDNN wants it, and not again in every product: with few rows, as in a decode, that
    takes more time than the product itself.  A single row by a small matrix in float32 is not oneDNN's, whose calls cost more.
    """
    if weight.numel() <= SMALL and x.dtype == torch.float32 and x.numel() == weight.shape[1]:
        return F.linear(x, weight, bias)
    if x.device.type == "cpu" and x.dtype in PACKED and _rests(weight):
        packed = _kept(weight, x.dtype, packed=True)
        return torch.ops.mkldnn._linear_pointwise(x, packed, None if bias is None else cast(bias, x.dtype), "none", [], "")
    product = F.linear(x, cast(weight, x.dtype), bias if x.dtype == torch.float32 else None)
    if bias is None or x.dtype == torch.float32:
        return product
    return product.add_(cast(bias, x.dtype))  # the fused form first copies the bias to every row: half as slow again


def _packable() -> tuple[torch.dtype, ...]:
    """The precisions for which oneDNN lays out a weight here, by the operators that compiled models use."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return ()
    return (torch.float32, torch.bfloat16) if torch.ops.mkldnn._is_mkldnn_bf16_supported() else (torch.float32,)


PACKED = _packable()


def _rests(weight: Tensor) -> bool:
    if torch.compiler.is_compiling():
        return False  # a graph has no use for copies made outside of it
    return not (torch.is_grad_enabled() or weight.is_inference()) and (not weight.requires_grad or _copies.get() is not None)


def _kept(weight: Tensor, dtype: torch.dtype, packed: bool) -> Tensor:
    """The copy of ``weight`` that fits, made anew where the weight is visibly another than when the copy was made."""
    copies = _copies.get() if weight.requires_grad else _frozen
    assert copies is not None
    made = copies.made(weight)
    key, state = (dtype, packed), (weight._version, weight.data_ptr(), weight.device)
    if key not in made or made[key][0] != state:
        copy = weight.detach().to(dtype)
        made[key] = state, torch.ops.mkldnn._reorder_linear_weight(copy) if packed else copy
    return made[key][1]
