"""Recurrent layers over time-major sequences ``[T, B, D]``: GRU and LSTM by torch, SRU (Lei et al. 2018) written out.

All have one shape.  The input may be normalised, and projected to a narrower width (a low-rank factor of the layer's matrices).
A second direction reads every row backwards *within its length* (``back``), so it never sees padding: padded = unpadded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from agents.accel.fast import linear
from agents.policies.layers import Linear

Hidden = tuple[Tensor, ...]  # what one direction of a layer remembers between two steps: tensors [B, W], float32
HIGHWAY = math.sqrt(3)  # keeps the variance from layer to layer while reset gates are half open (Lei et al. 2018, section 3)


def backwards(length: Tensor, steps: int) -> Tensor:
    """Where each flattened ``[T·B]`` position is read from when rows of ``length`` ``[B]`` are reversed; its own inverse."""
    time = torch.arange(steps, device=length.device)[:, None]  # [T, 1]
    mirrored = torch.where(time < length, length - 1 - time, time)  # [T, B]
    return (mirrored * len(length) + torch.arange(len(length), device=length.device)).flatten()  # [T·B]


class Gated(nn.Module):
    """A GRU or LSTM layer.  Under autocast torch multiplies in bfloat16.

    cell: nn.GRU or nn.LSTM · inputs: width of the input · width: W, of the hidden state · directions: 1, or 2 for the
    concatenated outputs of both · projection: width the input is first projected to, 0 for none · generator: draws the weights.
    """

    def __init__(
        self,
        cell: type[nn.GRU] | type[nn.LSTM],
        inputs: int,
        width: int,
        directions: int,
        projection: int,
        layer_norm: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.width = width
        self.entry = _entry(inputs, projection, layer_norm, generator)
        # made on "meta": torch's own initialisation would draw from the global generator
        made = (cell(projection or inputs, width, device="meta").to_empty(device="cpu") for _ in range(directions))
        self.ways = nn.ModuleList(made)
        for parameter in self.ways.parameters():
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5, generator)

    def forward(self, x: Tensor, start: Tensor | None = None, back: Tensor | None = None) -> Tensor:
        """``[T, B, inputs]`` → ``[T, B, directions·W]``.  start ``[B, W]``: the state before the first step, else 0."""
        inner = self.entry(x)
        first = x.new_zeros(x.shape[1], self.width, dtype=torch.float32) if start is None else start
        state = tuple(tensor[None] for tensor in self.begin(first))
        given = state if len(state) == 2 else state[0]
        outputs = [self.ways[0](inner, given)[0]]
        if back is not None:
            outputs.append(_reversed(self.ways[1](_reversed(inner, back), given)[0], back))
        return torch.cat(outputs, 2).to(x.dtype)

    def begin(self, start: Tensor) -> Hidden:
        """The memory that ``start`` ``[B, W]`` stands for: an LSTM's cell starts from it as well."""
        return (start, start) if isinstance(self.ways[0], nn.LSTM) else (start,)

    def step(self, x: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        """One step forward: ``[B, inputs]`` → ``[B, W]``, and the memory after it.  Calling nn.GRU costs several times more."""
        before, inner = hidden[0], self.entry(x)
        to_given, to_kept, given_bias, kept_bias = self.ways[0].parameters()
        given = linear(inner, to_given, given_bias).float()  # [B, gates·W]
        kept = linear(before.to(inner.dtype), to_kept, kept_bias).float()  # [B, gates·W]
        if len(hidden) == 2:
            entry, forget, candidate, gate = (given + kept).chunk(4, 1)
            cell = forget.sigmoid() * hidden[1] + entry.sigmoid() * candidate.tanh()
            after: Hidden = gate.sigmoid() * cell.tanh(), cell
        else:
            width = 2 * self.width
            reset, update = (given[:, :width] + kept[:, :width]).sigmoid_().chunk(2, 1)
            candidate = torch.addcmul(given[:, width:], reset, kept[:, width:]).tanh_()
            after = (torch.lerp(candidate, before, update),)
        return after[0].to(x.dtype), after


class SRU(nn.Module):
    """Simple recurrent unit (Lei et al. 2018, equations 1-4): only element-wise work waits for the step before.

    f_t = σ(W_f x_t + v_f ⊙ c_{t-1} + b_f);  c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ W x_t;
    r_t = σ(W_r x_t + v_r ⊙ c_{t-1} + b_r);  h_t = r_t ⊙ c_t + (1 - r_t) ⊙ √3 x_t, with another product of x_t for √3 x_t
    if the widths differ.  The matrices meet all steps at once; c and the gates are float32.  Parameters as for ``Gated``.
    """

    def __init__(
        self, inputs: int, width: int, directions: int, projection: int, layer_norm: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.width, total, inner = width, directions * width, projection or inputs
        self.blocks = 3 if inputs == total else 4
        self.entry = _entry(inputs, projection, layer_norm, generator)
        self.weight = nn.Parameter(torch.empty(self.blocks * total, inner))
        self.peephole = nn.Parameter(torch.empty(2, total))  # v_f, v_r
        self.bias = nn.Parameter(torch.zeros(2, total))  # b_f, b_r
        nn.init.uniform_(self.weight, -math.sqrt(3 / inner), math.sqrt(3 / inner), generator)
        nn.init.uniform_(self.peephole, -math.sqrt(3 / width), math.sqrt(3 / width), generator)

    def forward(self, x: Tensor, start: Tensor | None = None, back: Tensor | None = None) -> Tensor:
        """``[T, B, inputs]`` → ``[T, B, directions·W]``.  start ``[B, W]``: c before the first step, else 0."""
        candidate, forget, reset, highway = self._products(x)  # [T, B, directions·W] each
        if back is not None:
            candidate, forget = self._turn(candidate, back), self._turn(forget, back)
        first = torch.zeros_like(candidate[0]) if start is None else start
        cell = Recurrence.apply(candidate, forget + self.bias[0], self.peephole[0], first)  # [T + 1, B, directions·W]
        before, after = cell[:-1], cell[1:]
        if back is not None:
            before, after = self._turn(before, back), self._turn(after, back)
        gate = torch.addcmul(reset + self.bias[1], self.peephole[1], before).sigmoid()
        return torch.lerp(highway, after, gate).to(x.dtype)

    def begin(self, start: Tensor) -> Hidden:
        """The memory that ``start`` ``[B, W]`` stands for."""
        return (start,)

    def step(self, x: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        """One step forward: ``[B, inputs]`` → ``[B, W]``, and the memory after it."""
        candidate, forget, reset, highway = self._products(x)
        (before,) = hidden
        forget, gate = (torch.stack([forget, reset]) + self.bias[:, None] + self.peephole[:, None] * before).sigmoid_()
        after = torch.lerp(candidate, before, forget)
        return torch.lerp(highway, after, gate).to(x.dtype), (after,)

    def _products(self, x: Tensor) -> list[Tensor]:
        """Candidate, forget, reset and highway, each ``[..., directions·W]``, float32."""
        inner = self.entry(x)
        products = linear(inner, self.weight).float().chunk(self.blocks, -1)
        return [*products, x.float() * HIGHWAY] if self.blocks == 3 else list(products)

    def _turn(self, x: Tensor, back: Tensor) -> Tensor:
        """The second direction's half of ``x`` read backwards."""
        return torch.cat([x[..., : self.width], _reversed(x[..., self.width :], back)], 2)


class Recurrence(torch.autograd.Function):
    """c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ u_t with f_t = σ(a_t + v ⊙ c_{t-1}): three operations a step forwards, one backwards.

    u and a ``[T, B, D]``, v ``[D]``, c_0 ``[B, D]`` → c_0 … c_T ``[T + 1, B, D]``.
    """

    @staticmethod
    def forward(ctx, u, a, v, start):
        cell, forget = u.new_empty(len(u) + 1, *start.shape), torch.empty_like(a)
        cell[0] = start
        cells = cell.unbind()
        for before, after, u_t, a_t, gate in zip(cells, cells[1:], u.unbind(), a.unbind(), forget.unbind(), strict=False):
            torch.addcmul(a_t, v, before, out=gate).sigmoid_()
            torch.lerp(u_t, before, gate, out=after)
        ctx.save_for_backward(u, v, forget, cell)
        return cell

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        u, v, forget, cell = ctx.saved_tensors
        before, closed = cell[:-1], 1 - forget
        slope = (before - u).mul_(forget).mul_(closed)  # ∂c_t/∂a_t
        carry = torch.addcmul(forget, slope, v)  # ∂c_t/∂c_{t-1}
        total = grad.clone(memory_format=torch.contiguous_format)  # becomes ∂loss/∂c_t, later steps included
        totals, carries = total.unbind(), carry.unbind()
        for time in reversed(range(len(carries))):
            totals[time].addcmul_(carries[time], totals[time + 1])
        grad_a = slope.mul_(total[1:])
        return closed.mul_(total[1:]), grad_a, (grad_a * before).sum((0, 1)), total[0]


def _entry(inputs: int, projection: int, layer_norm: bool, generator: torch.Generator) -> nn.Sequential:
    norm = [nn.LayerNorm(inputs)] if layer_norm else []
    return nn.Sequential(*norm, *([Linear(inputs, projection, generator, bias=False)] if projection else []))


def _reversed(x: Tensor, back: Tensor) -> Tensor:
    return x.flatten(0, 1).index_select(0, back).view(x.shape)  # [T, B, D]


CELLS: dict[str, Callable[..., nn.Module]] = {"gru": partial(Gated, nn.GRU), "lstm": partial(Gated, nn.LSTM), "sru": SRU}
