"""What makes torch fast on a processor: bfloat16 where it is real, weights cast once a decode, products in few passes.

Nothing here acts on import.
"""

from __future__ import annotations

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

LARGE = 1 << 16  # numbers that a product is given from which its passes cost more than calls
PRECISIONS = ("auto", "bf16", "float32")


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
    return _copied(parameter, dtype, packed=False) if _rests(parameter) else parameter.to(dtype)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False, kept: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` in the precision of ``x``; with relu its positive part, and 0 where ``kept`` is not positive.

    A weight at rest is laid out once as oneDNN wants it, and not again in every product: with few rows, as in a decode, that
    takes more time than the product itself.  A single row in float32 is not oneDNN's, whose calls cost more.
    """
    if not _is_onednns(x) or (x.dtype == torch.float32 and x.numel() == weight.shape[1]):
        product = _product(x, weight, bias, relu)
    elif _rests(weight):
        product = _pointwise(x, _copied(weight, x.dtype, packed=True), None if bias is None else cast(bias, x.dtype), relu)
    elif bias is not None and x.numel() >= LARGE:
        return _Affine.apply(x, cast(weight, x.dtype), cast(bias, x.dtype), relu, kept)
    else:
        product = _product(x, weight, bias, relu)
    return product if kept is None else where_kept(product, kept)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    product = F.linear(x, cast(weight, x.dtype), None if bias is None else cast(bias, x.dtype))
    return product.relu_() if relu else product


def where_kept(x: Tensor, kept: Tensor) -> Tensor:
    """``x`` where ``kept`` is positive, 0 elsewhere."""
    return torch.ops.aten.threshold_backward(x, kept, 0)


class _Affine(torch.autograd.Function):
    """A product, its bias, relu and dropout in as few passes over it as there can be, forwards and backwards."""

    @staticmethod
    def forward(ctx, x, weight, bias, relu, kept):
        product = _pointwise(x, weight, bias, relu)
        if kept is not None:
            torch.ops.aten.threshold_backward(product, kept, 0, grad_input=product)
        ctx.save_for_backward(x, weight, product if relu else kept)  # the last is positive exactly where a gradient passes
        return product

    @staticmethod
    def backward(ctx, grad):
        x, weight, passed = ctx.saved_tensors
        if passed is not None:
            grad = where_kept(grad, passed)
        flat = grad.flatten(0, -2)  # [N, outputs]
        return grad @ weight, flat.t() @ x.flatten(0, -2), flat.sum(0), None, None


def _pointwise(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    """oneDNN's product; bias and relu cost no pass of their own."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if relu else "none", [], "")


def _is_onednns(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in PACKED and not torch.compiler.is_compiling()


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


def _copied(weight: Tensor, dtype: torch.dtype, packed: bool) -> Tensor:
    """The copy of ``weight`` that fits, made anew where the weight is visibly another than when the copy was made."""
    copies = _copies.get() if weight.requires_grad else _frozen
    assert copies is not None
    made = copies.made(weight)
    key, state = (dtype, packed), (weight._version, weight.data_ptr(), weight.device)
    if key not in made or made[key][0] != state:
        copy = weight.detach().to(dtype)
        made[key] = state, torch.ops.mkldnn._reorder_linear_weight(copy) if packed else copy
    return made[key][1]
